/* A stack of layers: what each sees, holds and costs. */
const Layers = (() => {
  const { element } = Work;
  const UNITS = ["B", "kB", "MB", "GB", "TB"];

  function bytes(count) {
    const power = Math.min(
      UNITS.length - 1,
      Math.floor(Math.log(Math.max(1, count)) / Math.log(1000)),
    );
    const value = count / 1000 ** power;
    return `${power ? value.toFixed(1) : value} ${UNITS[power]}`;
  }

  /** 1 234 567: thousands apart by a thin space, in any language. */
  const group = (count) => String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");

  function start() {
    if (!State.data.stack) return;
    document.getElementById("layers").hidden = false;
    State.on("look", draw);
    State.on("setting", mark);
    draw();
  }

  function draw() {
    const stack = State.data.stack;
    const table = document.getElementById("layer-table");
    const columns = ["layer", "output", "field", "parameters", "operations", "memory"];
    const head = element("tr", "");
    columns.forEach((key) =>
      element("th", "", head, Words.say(`layers.${key}`)).setAttribute("scope", "col"),
    );
    const largest = (key) => Math.max(1, ...stack.map((one) => one[key]));
    const most = Object.fromEntries(
      ["parameters", "multiply_adds", "activation_bytes"].map((key) => [
        key,
        largest(key),
      ]),
    );
    const body = element("tbody", "");
    for (const one of stack) {
      const row = element("tr", one.layer ? "open" : "", body);
      const name = element("td", "", row);
      if (one.layer) {
        const button = element("button", "link", name, one.name);
        button.type = "button";
        button.title = Words.say("layers.show");
        button.addEventListener("click", () => show(one));
      } else element("span", "", name, one.name);
      element("small", "", name, one.type);
      element("td", "", row, one.output.join(" × "));
      element(
        "td",
        "",
        row,
        one.receptive_field ? one.receptive_field.join(" × ") : "–",
      );
      bar(row, group(one.parameters), one.parameters / most.parameters);
      bar(row, group(one.multiply_adds), one.multiply_adds / most.multiply_adds);
      bar(
        row,
        bytes(one.activation_bytes),
        one.activation_bytes / most.activation_bytes,
      );
    }
    table.replaceChildren(element("thead", ""), body, element("tfoot", ""));
    table.tHead.append(head);
    totals(table.tFoot, stack);
    mark();
  }

  function bar(row, text, share) {
    const cell = element("td", "number", row);
    element("i", "bar", cell).style.width =
      `${Math.max(share > 0 ? 2 : 0, Math.round(share * 90))}px`;
    element("span", "", cell, text);
  }

  function totals(foot, stack) {
    const row = element("tr", "", foot);
    const sum = (key) => stack.reduce((total, one) => total + one[key], 0);
    element("td", "", row, Words.say("layers.total")).colSpan = 3;
    [
      group(sum("parameters")),
      group(sum("multiply_adds")),
      bytes(sum("activation_bytes")),
    ].forEach((text) => element("td", "number", row, text));
  }

  /** Show one layer of the stack; its numbers are an example's. */
  function show(one) {
    State.set({ layer: one.layer, size: one.input.slice(-one.layer.rank) });
    document.getElementById("title").scrollIntoView({ block: "start" });
  }

  /** The row of the layer that is shown. */
  function mark() {
    document.querySelectorAll("#layer-table tbody tr").forEach((row, i) => {
      const { layer } = State.data.stack[i];
      row.classList.toggle(
        "now",
        Boolean(layer) && Settings.line(layer) === Settings.line(State.layer),
      );
    });
  }

  return { start, bytes, group };
})();
