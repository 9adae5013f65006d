/* Every parameter is a control; what follows from them stands beside: sizes, counts. */
const Controls = (() => {
  const { element } = Work;
  const PER_AXIS = [
    ["kernel_size", 1],
    ["stride", 1],
    ["dilation", 1],
    ["padding", 0],
    ["output_padding", 0],
  ];
  const linked = new Set([
    "kernel_size",
    "stride",
    "dilation",
    "padding",
    "output_padding",
  ]);
  let holder;

  function start() {
    holder = document.getElementById("controls");
    State.on("setting", draw);
    State.on("look", draw);
    draw();
  }

  /** All controls anew; the one in use keeps the focus. */
  function draw() {
    const focused = document.activeElement?.id;
    holder.replaceChildren(kind(), channels(), shape(), border(), groups());
    Words.fill(holder);
    const again = focused ? document.getElementById(focused) : null;
    // A button that has reached its end hands the focus to the number beside it.
    const heir = again?.disabled ? again.parentElement.querySelector("input") : again;
    if (heir && holder.contains(heir)) heir.focus();
    results();
  }

  function fieldset(key, ...children) {
    const made = element("fieldset", "");
    element("legend", "", made).dataset.say = key;
    made.append(...children.filter(Boolean));
    return made;
  }

  /** A few words of which one holds: [{value, text or say}]. */
  function choice(id, options, now, choose) {
    const made = element("div", "choice");
    made.setAttribute("role", "group");
    for (const { value, text, say } of options) {
      const button = element("button", "", made, text);
      button.type = "button";
      button.id = `${id}-${value}`;
      if (say) button.dataset.say = say;
      button.setAttribute("aria-pressed", String(value === now));
      button.addEventListener("click", () => choose(value));
    }
    return made;
  }

  function row(name, ...children) {
    const made = element("div", "row");
    const label = element("span", "label", made);
    element("span", "", label).dataset.say = `settings.${name}`;
    element("code", "", label, name);
    const field = element("div", "field", made);
    field.append(...children.filter(Boolean));
    return made;
  }

  /** A whole number with a button on either side. */
  function number(id, label, value, least, change) {
    const made = element("span", "number");
    const limits = (next) => Math.max(least, Math.min(4096, Math.round(next)));
    const button = (text, by) => {
      const press = element("button", "", made, text);
      press.type = "button";
      press.id = `${id}${by > 0 ? "-more" : "-less"}`;
      press.setAttribute("aria-label", `${label} ${by > 0 ? "+" : "−"} 1`);
      press.disabled = limits(value + by) === value;
      press.addEventListener("click", () => change(limits(value + by)));
      return press;
    };
    button("−", -1);
    const input = element("input", "", made);
    Object.assign(input, {
      type: "number",
      id,
      min: least,
      value,
      inputMode: "numeric",
    });
    input.setAttribute("aria-label", label);
    input.style.width = `${Math.max(30, 9 * String(value).length + 8)}px`;
    input.addEventListener("change", () => {
      const next = input.value === "" ? NaN : Number(input.value);
      if (!Number.isFinite(next)) input.value = value;
      // Tab first moves on: the control that it reaches is known by then.
      else setTimeout(() => change(limits(next)));
    });
    button("+", 1);
    return made;
  }

  const set = (layer) => State.set({ layer });

  function kind() {
    const { layer } = State;
    const ranks = choice(
      "rank",
      [1, 2, 3].map((rank) => ({ value: rank, text: `${rank}d` })),
      layer.rank,
      (rank) => {
        if (rank === layer.rank) return;
        State.set(
          rank === State.first.layer.rank
            ? { layer: State.first.layer, size: State.first.size }
            : Settings.ofRank(State, rank),
        );
      },
    );
    const ways = choice(
      "transposed",
      [
        { value: false, text: "Conv" },
        { value: true, text: "ConvTranspose" },
      ],
      layer.transposed,
      (transposed) => set({ transposed }),
    );
    return fieldset("settings.kind", ways, ranks);
  }

  function channels() {
    const { layer } = State;
    const one = (name) =>
      row(
        name,
        number(name, name, layer[name], 1, (value) => set({ [name]: value })),
      );
    return fieldset(
      "settings.channels",
      one("in_channels"),
      one("out_channels"),
      axes("size", 1),
    );
  }

  /** A number for each axis, or one for all of them while they are linked. */
  function axes(name, least) {
    const { layer, size } = State;
    const values = name === "size" ? size : layer[name];
    const names = Geometry.axisNames(layer.rank);
    const equal = values.every((value) => value === values[0]);
    const together = linked.has(name) && equal && layer.rank > 1;
    const shown = together || layer.rank === 1 ? [0] : [...values.keys()];
    const take = (axis, value) => {
      const next = values.map((old, i) => (together || i === axis ? value : old));
      if (name === "size") State.set({ size: next });
      else set({ [name]: next });
    };
    const fields = shown.map((axis) => {
      const label =
        together || layer.rank === 1
          ? name
          : `${name} ${Words.say(`axis.${names[axis]}`)}`;
      return number(`${name}-${axis}`, label, values[axis], least, (value) =>
        take(axis, value),
      );
    });
    const link =
      layer.rank > 1 && name !== "size" ? linkButton(name, equal, values) : null;
    const made = row(name, ...fields, link);
    made.classList.toggle("spread", shown.length > 1);
    return made;
  }

  function linkButton(name, equal, values) {
    const button = element("button", "link-axes");
    button.type = "button";
    button.id = `${name}-link`;
    const on = linked.has(name) && equal;
    button.innerHTML = on
      ? '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M8 12.5H6.5a3 3 0 0 1 0-6H9M12 7.5h1.5a3 3 0 0 1 0 6H11M7.5 10h5"/></svg>'
      : '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M7.5 12.5h-1a3 3 0 0 1 0-6h1M12.5 6.5h1a3 3 0 0 1 0 6h-1"/></svg>';
    button.dataset.hint = on ? "settings.unlink" : "settings.link";
    button.dataset.speak = button.dataset.hint;
    button.setAttribute("aria-pressed", String(on));
    button.addEventListener("click", () => {
      if (on) linked.delete(name);
      else linked.add(name);
      if (!on && !equal) set({ [name]: values.map(() => values[0]) });
      else draw();
    });
    return button;
  }

  const shape = () =>
    fieldset(
      "settings.kernel",
      ...PER_AXIS.slice(0, 3).map(([name, least]) => axes(name, least)),
    );

  function border() {
    const { layer } = State;
    const word = typeof layer.padding === "string" ? layer.padding : "number";
    const zeros = layer.kernel_size.map(() => 0);
    const kinds = choice(
      "padding-kind",
      [
        { value: "number", say: "settings.number" },
        { value: "same", text: "same" },
        { value: "valid", text: "valid" },
      ],
      word,
      (value) =>
        set({
          padding:
            value === "number" ? (word === "number" ? layer.padding : zeros) : value,
        }),
    );
    const modes = choice(
      "padding_mode",
      Settings.MODES.map((mode) => ({ value: mode, text: mode })),
      layer.padding_mode,
      (mode) => set({ padding_mode: mode }),
    );
    modes.classList.add("wrap");
    return fieldset(
      "settings.border",
      kinds,
      word === "number" ? axes("padding", 0) : null,
      modes,
      layer.transposed ? axes("output_padding", 0) : null,
    );
  }

  function groups() {
    const { layer } = State;
    const slider = element("input", "slider");
    Object.assign(slider, {
      type: "range",
      id: "groups-slider",
      min: 1,
      max: Math.max(layer.in_channels, layer.groups),
      value: layer.groups,
    });
    slider.setAttribute("aria-label", "groups");
    slider.disabled = layer.in_channels === 1 && layer.groups === 1;
    slider.addEventListener("change", () => set({ groups: Number(slider.value) }));
    const ends = element("div", "ends");
    element("span", "", ends).dataset.say = "settings.groupsOne";
    element("span", "", ends).dataset.say = "settings.depthwise";
    const bias = element("label", "check");
    const box = element("input", "", bias);
    Object.assign(box, { type: "checkbox", id: "bias", checked: layer.bias });
    box.addEventListener("change", () => set({ bias: box.checked }));
    element("span", "", bias).dataset.say = "settings.bias";
    element("code", "", bias, "bias");
    return fieldset(
      "settings.groupsTitle",
      row(
        "groups",
        number("groups", "groups", layer.groups, 1, (value) => set({ groups: value })),
      ),
      slider,
      ends,
      bias,
    );
  }

  /** The line of code, the size formula with its numbers, the counts; or what is wrong. */
  function results() {
    const { layer, size, fault } = State;
    document.getElementById("line").textContent = Settings.line(layer);
    document.getElementById("title").textContent = Settings.name(layer);
    const named = State.data.title;
    const own =
      layer === State.first.layer && named && !named.startsWith("Conv") ? named : "";
    document.getElementById("label").textContent = own;
    document.title = [own, Settings.name(layer), "Atrous"].filter(Boolean).join(" · ");
    document.getElementById("code").classList.toggle("wrong-code", Boolean(fault));
    const formula = document.getElementById("formula");
    formula.replaceChildren(
      ...formulas(layer, size).map(([axis, text, sum]) => {
        const line = element("p", "");
        element("span", "axis", line, layer.rank > 1 ? Words.say(`axis.${axis}`) : "");
        element("span", "", line, `${text} = `);
        element("strong", sum < 1 ? "wrong" : "", line, Numbers.write(sum, 0));
        return line;
      }),
    );
    counts(layer, fault);
    explain(fault);
  }

  /** For each axis [name, formula with its numbers, what it gives]. */
  function formulas(layer, size) {
    return size.map((cells, axis) => {
      const [before, after] = Geometry.border(layer, axis);
      const edge = before === after ? `2·${before}` : `(${before} + ${after})`;
      const [k, d, s] = [
        layer.kernel_size[axis],
        layer.dilation[axis],
        layer.stride[axis],
      ];
      const text = layer.transposed
        ? `(${cells} − 1)·${s} − ${edge} + ${d}·(${k} − 1) + ${layer.output_padding[axis]} + 1`
        : `⌊(${cells} + ${edge} − ${d}·(${k} − 1) − 1)/${s}⌋ + 1`;
      return [
        Geometry.axisNames(layer.rank)[axis],
        text,
        Geometry.outAlong(layer, axis, cells),
      ];
    });
  }

  function counts(layer, fault) {
    const list = document.getElementById("counts");
    if (fault) {
      list.replaceChildren();
      return;
    }
    const { out, size } = State.model;
    const weights = Numbers.product(Geometry.weightShape(layer));
    const cells = Numbers.product(out);
    // Each weight meets each output position; transposed, each input position.
    const products = weights * (layer.transposed ? Numbers.product(size) : cells);
    const facts = [
      ["sizes.output", [layer.out_channels, ...out].join(" × ")],
      ["sizes.weight", `(${Geometry.weightShape(layer).join(", ")})`],
      [
        "sizes.parameters",
        Layers.group(weights + (layer.bias ? layer.out_channels : 0)),
      ],
      ["sizes.operations", Layers.group(products)],
      ["sizes.memory", Layers.bytes(4 * layer.out_channels * cells)],
    ];
    list.replaceChildren(
      ...facts.map(([key, value]) => {
        const pair = element("div", "");
        element("dt", "", pair, Words.say(key));
        element("dd", "", pair, value);
        return pair;
      }),
    );
  }

  /** What cannot work, why, and the smallest changes that help, each one press away. */
  function explain(fault) {
    const holder = document.getElementById("fault");
    holder.hidden = !fault;
    if (!fault) return;
    const where = fault.where ? Words.say(`axis.${fault.where}`) : "";
    holder.replaceChildren();
    element("strong", "", holder, Words.say("fault.title"));
    element("p", "", holder, Words.say(fault.key, { ...fault, where }));
    const list = element("div", "repairs", holder);
    element("span", "", list, Words.say("fault.smallest"));
    for (const changes of Repair.repairs(State.layer, State.size)) {
      const button = element("button", "", list, wording(changes));
      button.type = "button";
      button.addEventListener("click", () =>
        State.set(changes.reduce(Repair.apply, State)),
      );
    }
  }

  /** padding 0 → 1: one text for changes of one parameter on several axes. */
  function wording(changes) {
    const after = changes.reduce(Repair.apply, {
      layer: State.layer,
      size: State.size,
    });
    return [...new Set(changes.map((one) => one.name))]
      .map((name) => {
        const [from, to] = [State, after].map((one) =>
          name === "size" ? one.size : one.layer[name],
        );
        const label = name === "size" ? Words.say("settings.size") : name;
        return `${label} ${Settings.python(from)} → ${Settings.python(to)}`;
      })
      .join(", ");
  }

  return { start, formulas };
})();
