/* What is shown: the setting, the cell pointed at, how far the sum has come.
 * It lives in the URL's hash, so that a view can be shared. */
const State = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const carried = (name) =>
    data.arrays?.[name] ? Numbers.decode(data.arrays[name]) : null;
  const given = Object.fromEntries(
    ["input", "weight", "bias", "output"].map((name) => [name, carried(name)]),
  );
  const first = {
    layer: data.layer,
    size:
      data.arrays?.input?.whole.slice(1) ?? data.layer.kernel_size.map((k) => k + 3),
  };
  given.key = JSON.stringify([first.layer, first.size]);

  const state = {
    ...first,
    cursor: { side: "output", channel: 0, position: [] },
    product: null, // the product the sum has come to; null is all of them
    inputChannel: 0, // which input channel a volume shows
    pinned: false,
    fault: null,
    model: null, // of the last setting that works
  };
  const listeners = { setting: [], cursor: [], look: [] };
  const on = (event, act) => listeners[event].push(act);
  const tell = (event) => listeners[event].forEach((act) => act(state));

  /** Take another setting; one that cannot work leaves the last picture standing. */
  function set(changes) {
    state.layer = { ...state.layer, ...changes.layer };
    state.size = changes.size ?? state.size;
    refresh();
    tell("setting");
    remember();
  }

  function refresh() {
    state.fault = Repair.fault(state.layer, state.size);
    if (!state.fault) state.model = new Numbers.Model(state.layer, state.size, given);
    else if (!state.model)
      state.model = new Numbers.Model(first.layer, first.size, given);
    point(state.cursor, { quiet: true });
  }

  const shapeOf = (side) => {
    const { model } = state;
    return side === "output"
      ? [model.layer.out_channels, ...model.out]
      : [model.layer.in_channels, ...model.size];
  };

  /** Point at a cell; a cell that is not there becomes the nearest that is. */
  function point(cursor, { quiet = false, product = null } = {}) {
    const shape = shapeOf(cursor.side);
    const place = [cursor.channel, ...cursor.position].slice(0, shape.length);
    const inside = shape.map((count, axis) =>
      Math.min(Math.max(place[axis] ?? 0, 0), count - 1),
    );
    state.cursor = {
      side: cursor.side,
      channel: inside[0],
      position: inside.slice(1),
      ghost: cursor.ghost ?? null,
    };
    state.product = product;
    const { layer } = state.model;
    if (cursor.side === "input") state.inputChannel = inside[0];
    else if (!Geometry.joins(layer, inside[0], state.inputChannel)) {
      [state.inputChannel] = Geometry.sees(layer, inside[0]);
    }
    if (!quiet) {
      tell("cursor");
      remember();
    }
  }

  /** The next cell in memory's order, round the end. */
  function step(count) {
    const shape = shapeOf(state.cursor.side);
    const total = Numbers.product(shape);
    const place = [state.cursor.channel, ...state.cursor.position];
    let flat = place.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
    flat = (((flat + count) % total) + total) % total;
    const next = shape.map(() => 0);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      next[axis] = flat % shape[axis];
      flat = Math.floor(flat / shape[axis]);
    }
    point({ side: state.cursor.side, channel: next[0], position: next.slice(1) });
  }

  /** Move along one axis (−1 is the last; 0 of shape is the channel), within bounds. */
  function move(axis, count) {
    const { side, channel, position } = state.cursor;
    const place = [channel, ...position];
    const index = axis < 0 ? place.length + axis : axis;
    if (index < 0 || index >= place.length) return;
    place[index] += count;
    point({ side, channel: place[0], position: place.slice(1) });
  }

  /** One product further in the sum, or back; the last one is followed by the whole. */
  function stepProduct(count) {
    if (state.cursor.side !== "output") return;
    const { layer, size } = state.model;
    const total = Geometry.taps(
      layer,
      size,
      state.cursor.channel,
      state.cursor.position,
    ).length;
    const now = state.product ?? (count > 0 ? -1 : total);
    const next = now + count;
    state.product = next < 0 || next >= total ? null : next;
    tell("cursor");
    remember();
  }

  const show = (product) => {
    state.product = product;
    tell("cursor");
  };

  function pin(pinned) {
    state.pinned = pinned;
    tell("cursor");
  }

  const SHORT = {
    in_channels: "in",
    out_channels: "out",
    kernel_size: "k",
    stride: "s",
    padding: "p",
    output_padding: "op",
    dilation: "d",
    groups: "g",
    bias: "b",
    padding_mode: "m",
  };

  /** The hash: only what differs from the page as it was made. */
  function hash() {
    const parts = new URLSearchParams();
    const { layer, size, cursor } = state;
    if (layer.rank !== first.layer.rank) parts.set("rank", layer.rank);
    if (layer.transposed !== first.layer.transposed)
      parts.set("t", Number(layer.transposed));
    for (const [name, short] of Object.entries(SHORT)) {
      if (String(layer[name]) === String(first.layer[name])) continue;
      parts.set(
        short,
        Array.isArray(layer[name])
          ? layer[name].join("x")
          : Number(layer[name]) >= 0
            ? Number(layer[name])
            : layer[name],
      );
    }
    if (String(size) !== String(first.size)) parts.set("n", size.join("x"));
    if (cursor.channel || cursor.side === "input" || cursor.position.some(Boolean)) {
      parts.set("at", [cursor.side, cursor.channel, ...cursor.position].join("."));
    }
    if (state.product !== null) parts.set("product", state.product);
    if (state.inputChannel && cursor.side === "output")
      parts.set("c", state.inputChannel);
    for (const name of ["language", "theme"])
      if (state[name]) parts.set(name, state[name]);
    return parts.toString();
  }

  let timer = null;
  function remember() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // A page inside a notebook's frame has no address of its own to write to.
      try {
        history.replaceState(null, "", `#${hash()}`);
      } catch {
        /* nothing to remember in */
      }
    }, 250);
  }

  const wholes = (text, count) => {
    const values = text.split("x").map(Number);
    return values.length === count &&
      values.every((value) => Number.isInteger(value) && value >= 0 && value < 1e6)
      ? values
      : null;
  };

  /** Take what a hash says; what cannot be understood is left as it was. */
  function read(text) {
    const parts = new URLSearchParams(text.replace(/^#/, ""));
    const rank =
      [1, 2, 3].find((one) => String(one) === parts.get("rank")) ?? first.layer.rank;
    const base = rank === first.layer.rank ? first : Settings.ofRank(first, rank);
    const layer = { ...base.layer };
    if (parts.has("t")) layer.transposed = parts.get("t") === "1";
    for (const [name, short] of Object.entries(SHORT)) {
      const value = parts.get(short);
      if (value === null) continue;
      if (name === "bias") layer.bias = value === "1";
      else if (name === "padding_mode") {
        if (Settings.MODES.includes(value)) layer.padding_mode = value;
      } else if (name === "padding" && ["same", "valid"].includes(value))
        layer.padding = value;
      else if (["in_channels", "out_channels", "groups"].includes(name))
        layer[name] = wholes(value, 1)?.[0] ?? layer[name];
      else layer[name] = wholes(value, rank) ?? layer[name];
    }
    const size = (parts.has("n") && wholes(parts.get("n"), rank)) || base.size;
    const [side, channel, ...position] = (parts.get("at") ?? "output.0").split(".");
    const number = (text) => Math.max(0, Math.floor(Number(text)) || 0);
    state.inputChannel = number(parts.get("c"));
    Object.assign(state, { layer, size });
    state.cursor = {
      side: side === "input" ? "input" : "output",
      channel: number(channel),
      position: position.map(number),
    };
    refresh();
    const { terms } = Draw.meeting(state);
    const product = number(parts.get("product"));
    state.product =
      parts.has("product") && state.cursor.side === "output" && product < terms.length
        ? product
        : null;
    state.language = parts.get("language");
    state.theme = parts.get("theme");
  }

  return Object.assign(state, {
    data,
    first,
    on,
    tell,
    set,
    point,
    step,
    move,
    stepProduct,
    show,
    pin,
    read,
    remember,
    shapeOf,
  });
})();

/** Settings as a whole: another rank, and the line that makes the layer. */
const Settings = (() => {
  const MODES = ["zeros", "reflect", "replicate", "circular"];
  const USUAL = {
    kernel_size: null,
    stride: 1,
    padding: 0,
    output_padding: 0,
    dilation: 1,
    groups: 1,
    bias: true,
    padding_mode: "zeros",
  };

  /** The same with another number of axes; sizes are cut so that a picture stays small. */
  function ofRank({ layer, size }, rank) {
    const fit = (values) =>
      Array.isArray(values)
        ? Array.from({ length: rank }, () => values[values.length - 1])
        : values;
    const most = [0, 16, 8, 5][rank];
    const names = ["kernel_size", "stride", "padding", "output_padding", "dilation"];
    return {
      layer: {
        ...layer,
        rank,
        ...Object.fromEntries(names.map((name) => [name, fit(layer[name])])),
      },
      size: fit(size).map((cells) =>
        rank > size.length ? Math.min(cells, most) : cells,
      ),
    };
  }

  const name = (layer) => `Conv${layer.transposed ? "Transpose" : ""}${layer.rank}d`;

  /** A value as Python writes it: one number where all axes have the same. */
  function python(value) {
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "string") return `'${value}'`;
    if (!Array.isArray(value)) return String(value);
    return value.every((one) => one === value[0])
      ? String(value[0])
      : `(${value.join(", ")})`;
  }

  function line(layer) {
    const parts = [layer.in_channels, layer.out_channels];
    for (const [key, usual] of Object.entries(USUAL)) {
      if (key === "output_padding" && !layer.transposed) continue;
      const text = python(layer[key]);
      if (usual === null || text !== python(usual)) parts.push(`${key}=${text}`);
    }
    return `torch.nn.${name(layer)}(${parts.join(", ")})`;
  }

  return { MODES, ofRank, name, line, python };
})();
