/* What is wrong with a setting, and the smallest changes with which it works. */
const Repair = (() => {
  const { axisNames, span, border, outAlong } = Geometry;
  const PER_AXIS = [
    "kernel_size",
    "dilation",
    "stride",
    "output_padding",
    "padding",
    "size",
  ];
  const LEAST = { padding: 0, output_padding: 0 };
  const REACH = 64; // no repair that a person would want changes a number by more

  /** The first thing that is wrong: {key, ...numbers} for a label, or null. */
  function fault(layer, size) {
    return channelFault(layer) || firstFault(layer, size);
  }

  function firstFault(layer, size) {
    for (let axis = 0; axis < layer.rank; axis++) {
      const wrong = axisFault(layer, size, axis);
      if (wrong) return wrong;
    }
    return null;
  }

  function channelFault(layer) {
    const { in_channels, out_channels, groups } = layer;
    for (const name of ["in_channels", "out_channels", "groups"]) {
      if (layer[name] < 1) return { key: "fault.least", name, least: 1 };
    }
    if (in_channels % groups || out_channels % groups) {
      return {
        key: "fault.groups",
        groups,
        inputs: in_channels,
        outputs: out_channels,
      };
    }
    if (layer.transposed && layer.padding_mode !== "zeros") {
      return { key: "fault.transposedMode", mode: layer.padding_mode };
    }
    if (layer.transposed && typeof layer.padding === "string") {
      return { key: "fault.transposedWord", word: layer.padding };
    }
    if (layer.padding === "same" && layer.stride.some((step) => step !== 1)) {
      return { key: "fault.same", stride: Math.max(...layer.stride) };
    }
    return null;
  }

  function axisFault(layer, size, axis) {
    const where = axisNames(layer.rank)[axis];
    const cells = size[axis];
    for (const name of PER_AXIS) {
      const values = name === "size" ? size : layer[name];
      const least = LEAST[name] ?? 1;
      if (typeof values !== "string" && values[axis] < least) {
        return { key: "fault.least", name, least };
      }
    }
    const most = Math.max(...border(layer, axis));
    const out = outAlong(layer, axis, cells);
    if (layer.transposed) {
      const extra = layer.output_padding[axis];
      const steps = Math.max(layer.stride[axis], layer.dilation[axis]);
      if (extra >= steps) return { key: "fault.outputPadding", extra, steps, where };
      return out < 1 ? { key: "fault.cropped", padding: most, where } : null;
    }
    const mode = layer.padding_mode;
    if (
      (mode === "reflect" && most >= cells) ||
      (mode === "circular" && most > cells)
    ) {
      return { key: `fault.${mode}`, padding: most, cells, where };
    }
    const padded = cells + border(layer, axis)[0] + border(layer, axis)[1];
    return span(layer, axis) > padded
      ? {
          key: "fault.kernel",
          kernel: layer.kernel_size[axis],
          span: span(layer, axis),
          padded,
          where,
        }
      : null;
  }

  /** Every change of one number (or word) by one step of `distance`. */
  function* changes(layer, size, distance) {
    for (const axis of size.keys()) {
      for (const name of PER_AXIS) {
        const values = name === "size" ? size : layer[name];
        if (
          typeof values === "string" ||
          (name === "output_padding" && !layer.transposed)
        )
          continue;
        for (const value of [values[axis] - distance, values[axis] + distance]) {
          if (value >= (LEAST[name] ?? 1))
            yield { name, axis, from: values[axis], value };
        }
      }
    }
    for (const name of ["groups", "out_channels", "in_channels"]) {
      for (const value of [layer[name] - distance, layer[name] + distance]) {
        if (value >= 1) yield { name, from: layer[name], value };
      }
    }
    if (distance !== 2) return; // a word weighs as much as two steps of a number
    if (layer.padding_mode !== "zeros")
      yield { name: "padding_mode", from: layer.padding_mode, value: "zeros" };
    if (typeof layer.padding === "string") {
      yield { name: "padding", from: layer.padding, value: size.map(() => 0) };
    }
  }

  /** A setting with one change made: {layer, size}. */
  function apply({ layer, size }, change) {
    const { name, axis, value } = change;
    const inPlace = (values) => values.map((old, i) => (i === axis ? value : old));
    if (name === "size") return { layer, size: inPlace(size) };
    const changed = axis === undefined ? value : inPlace(layer[name]);
    return { layer: { ...layer, [name]: changed }, size };
  }

  /** How many things are wrong: one for the channels and one for each axis. */
  function count(layer, size) {
    if (channelFault(layer)) return layer.rank + 1;
    return size.filter((_, axis) => axisFault(layer, size, axis)).length;
  }

  /** Up to three repairs, the smallest first; each a list of changes. */
  function repairs(layer, size) {
    const wrong = count(layer, size);
    const found = [];
    for (let distance = 1; distance <= REACH && found.length < 3; distance++) {
      for (const change of changes(layer, size, distance)) {
        const tried = apply({ layer, size }, change);
        const left = count(tried.layer, tried.size);
        const known = found.some(
          (one) => one[0].name === change.name && one[0].axis === change.axis,
        );
        if (known || left >= wrong || found.length === 3) continue;
        // Where several axes are wrong, the rest is repaired by the same kind of change.
        const rest = left ? repairs(tried.layer, tried.size) : [[]];
        const same =
          rest.find((one) => !one.length || one[0].name === change.name) ?? rest[0];
        if (same) found.push([change, ...same]);
      }
    }
    return found;
  }

  return { fault, repairs, apply };
})();
