/* Begin: read the hash, choose language and light, start every part. */
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function lightUp() {
    const theme =
      State.theme ??
      (State.data.dark === null || State.data.dark === undefined
        ? dark.matches
          ? "dark"
          : "light"
        : State.data.dark
          ? "dark"
          : "light");
    document.documentElement.dataset.theme = theme === "dark" ? "dark" : "light";
    Cells.readPalette();
  }

  function speak() {
    Words.choose(State.language ?? Words.preferred());
    document.querySelectorAll("#languages button").forEach((button) => {
      button.setAttribute(
        "aria-pressed",
        String(button.dataset.language === Words.language),
      );
    });
  }

  function look() {
    lightUp();
    speak();
    State.tell("look");
  }

  State.read(location.hash);
  lightUp();
  speak();
  Stage.start();
  Stage.redraw();
  for (const part of [Work, Matrix, Layers, Controls, Keys, Save]) part.start();
  State.tell("cursor");

  document.getElementById("languages").addEventListener("click", (event) => {
    if (!event.target.dataset.language) return;
    State.language = event.target.dataset.language;
    look();
    State.remember();
  });
  document.getElementById("theme").addEventListener("click", () => {
    State.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    look();
    State.remember();
  });
  dark.addEventListener("change", look);
  addEventListener("hashchange", () => {
    State.read(location.hash);
    look();
    State.tell("setting");
  });
  if (matchMedia("(max-width: 760px)").matches)
    document.getElementById("settings").open = false;

  /** What a test or a curious reader may ask the page. */
  window.atrous = {
    taps: Geometry.taps,
    touches: Geometry.touches,
    outputSize: Geometry.outputSize,
    formulas: Controls.formulas,
    fault: Repair.fault,
    repairs: Repair.repairs,
    state: State,
    step: Keys.step,
    svg: Save.svg,
    png: () => Save.canvas().toDataURL("image/png"),
    /** Every value of "input", "weight", "bias" or "output", flat in C order. */
    values(name) {
      const { model } = State;
      if (name !== "output") return model[name] ? [...model[name].data] : null;
      const cells = Geometry.product(
        model.out.map((count) => Geometry.range(0, count)),
      );
      return Geometry.range(0, model.layer.out_channels).flatMap((channel) =>
        cells.map((place) => model.value(channel, place)),
      );
    },
  };
})();
