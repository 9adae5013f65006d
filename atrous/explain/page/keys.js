/* Steps, play and the keyboard. */
const Keys = (() => {
  const PACES = [1500, 900, 500, 220, 0]; // milliseconds a step; 0 is every frame
  let playing = false;
  let last = 0;

  const byProduct = () =>
    document.getElementById("pace").value === "product" &&
    State.cursor.side === "output";

  let walked = ""; // the cell whose products have all been shown

  /** One step; the products of a cell lead on to the next cell. */
  function step(count) {
    if (!byProduct()) {
      State.step(count);
      return;
    }
    const here = () => JSON.stringify(State.cursor);
    const { product } = State;
    if (product === null && count > 0) {
      if (walked === here()) State.step(1);
      if (Stage.meeting.terms.length) State.show(0);
      else walked = here(); // nothing is summed here: go on
    } else if (product === 0 && count < 0) {
      State.step(-1);
    } else {
      if (product === Stage.meeting.terms.length - 1) walked = here();
      State.stepProduct(count);
    }
  }

  function tick(now) {
    if (!playing) return;
    if (now - last >= PACES[Number(document.getElementById("speed").value)]) {
      last = now;
      step(1);
    }
    requestAnimationFrame(tick);
  }

  function play(on = !playing) {
    playing = on;
    const button = document.getElementById("play");
    button.classList.toggle("playing", playing);
    button.dataset.hint = button.dataset.speak = playing ? "steps.halt" : "steps.play";
    Words.fill(button.parentElement);
    if (playing) {
      last = performance.now();
      requestAnimationFrame(tick);
    }
  }

  const CHANNEL = 0;
  const MOVES = {
    ArrowLeft: () => State.move(-1, -1),
    ArrowRight: () => State.move(-1, 1),
    ArrowUp: () => vertical(-1),
    ArrowDown: () => vertical(1),
    PageUp: () => State.move(State.layer.rank === 3 ? 1 : CHANNEL, -1),
    PageDown: () => State.move(State.layer.rank === 3 ? 1 : CHANNEL, 1),
    Home: () =>
      State.point({ ...State.cursor, position: State.cursor.position.map(() => 0) }),
    End: () =>
      State.point({
        ...State.cursor,
        position: State.shapeOf(State.cursor.side).slice(1),
      }),
    "[": () => State.move(CHANNEL, -1),
    "]": () => State.move(CHANNEL, 1),
    ",": () => State.stepProduct(-1),
    ".": () => State.stepProduct(1),
    " ": () => play(),
    Enter: () => State.pin(!State.pinned),
    Escape: () => State.pin(false),
    i: () => swap(),
  };

  /** Up and down: a row; in strips, a channel. */
  const vertical = (count) =>
    State.move(State.model.layer.rank === 1 ? CHANNEL : -2, count);

  /** From the output to the input and back: to the middle of what is lit. */
  function swap() {
    const side = State.cursor.side === "output" ? "input" : "output";
    const { terms } = Stage.meeting;
    const key = side === "input" ? "source" : "position";
    const cells = terms.filter((one) => one[key]);
    const one = cells[Math.floor(cells.length / 2)];
    State.point(
      one
        ? { side, channel: one.channel, position: one[key] }
        : { side, channel: 0, position: [] },
    );
  }

  function start() {
    const stage = document.getElementById("stage");
    stage.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      State.pinned = event.key === "Escape" ? State.pinned : true;
      move();
    });
    document.getElementById("back").addEventListener("click", () => {
      State.pinned = true;
      step(-1);
    });
    document.getElementById("forward").addEventListener("click", () => {
      State.pinned = true;
      step(1);
    });
    document.getElementById("play").addEventListener("click", () => {
      State.pinned = true;
      play();
    });
    const channel = document.getElementById("channel");
    channel.addEventListener("change", () => {
      State.inputChannel = Number(channel.value);
      if (State.cursor.side === "input")
        State.point({ ...State.cursor, channel: State.inputChannel });
      else State.tell("cursor");
    });
    for (const event of ["setting", "cursor", "look"]) State.on(event, follow);
    follow();
  }

  /** The pin and, for volumes and long sums, the choice of an input channel. */
  function follow() {
    document.getElementById("pinned").hidden = !State.pinned || playing;
    const { layer } = State.model;
    const choice = document.getElementById("channel-choice");
    choice.hidden = layer.rank < 3 && layer.in_channels <= 8;
    if (choice.hidden) return;
    const seen =
      State.cursor.side === "output"
        ? Geometry.sees(layer, State.cursor.channel)
        : Geometry.range(0, layer.in_channels);
    const select = document.getElementById("channel");
    const wanted = seen.join();
    if (select.dataset.wanted !== wanted) {
      select.dataset.wanted = wanted;
      select.replaceChildren(
        ...seen.map((one) => new Option(String(one), String(one))),
      );
    }
    select.value = String(State.inputChannel);
  }

  return { start, step, playing: () => playing };
})();
