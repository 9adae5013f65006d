/* Volumes: three linked planes through a cross-hair, and the stack of slices. */
const Volume = (() => {
  const MOST = 64; // cells of an axis that a plane shows
  const GAP = 12;
  const ROOMY = 12; // pixels of a cell with which zeros between cells can be seen
  const EDGE = 5; // room for a frame about the first slice

  /** Where the planes cut: through the cell pointed at, and through what it meets. */
  function crosses({ model, cursor }) {
    const { layer, size } = model;
    // The middle along each axis: of an even kernel no cell is in the middle of all.
    const middle = (places, or) =>
      or.map((own, axis) => {
        const along = [...new Set(places.map((place) => place[axis]))];
        return along.length ? along[Math.floor(along.length / 2)] : own;
      });
    if (cursor.side === "output") {
      const met = Geometry.window(layer, size, cursor.position);
      const nearest = size.map((cells, axis) =>
        Scene.clamp(
          Math.floor(cursor.position[axis] / layer.stride[axis]),
          0,
          cells - 1,
        ),
      );
      return {
        output: cursor.position,
        input: middle(
          met.map((one) => one.position),
          nearest,
        ),
      };
    }
    const single = { ...layer, groups: 1, in_channels: 1, out_channels: 1 };
    const touched = Geometry.touches(single, size, 0, cursor.position);
    return {
      input: cursor.position,
      output: middle(
        touched.map((one) => one.position),
        model.out.map(() => 0),
      ),
    };
  }

  /** The three planes: which axis is fixed, which run down and across; where it stands
   * when they share edges, and when they stand in a row. */
  const PLANES = [
    { fixed: 0, down: 1, across: 2, x: 0, y: 0 },
    { fixed: 2, down: 1, across: 0, x: 1, y: 0 },
    { fixed: 1, down: 0, across: 2, x: 0, y: 1 },
  ];

  /** Three planes of one channel: depth, width beside it, height below or at the end. */
  function block(side, channel, ranges, cross, cell, left, top, inRow) {
    const letter = side === "input" ? "x" : "y";
    return PLANES.map((plane, i) => {
      const before = inRow
        ? [0, ranges[2].cells, ranges[2].cells + ranges[0].cells][i]
        : plane.x * ranges[2].cells;
      const x = left + before * cell + (inRow ? i : plane.x) * GAP;
      const y =
        top + (inRow ? 0 : plane.y * (ranges[1].cells * cell + GAP + Scene.TITLE));
      const index = [":", ":", ":"];
      index[plane.fixed] = cross[plane.fixed];
      return new Scene.Grid({
        id: `${side}.plane${i}`,
        side,
        channel,
        x,
        y,
        w: cell,
        h: cell,
        cross,
        spread: [ranges[plane.down].spread, ranges[plane.across].spread],
        title: `${letter}[${channel}, ${index.join(", ")}]`.replaceAll("-", "−"),
        short: index.join(", ").replaceAll("-", "−"),
        rows: { axis: plane.down, ...ranges[plane.down] },
        cols: { axis: plane.across, ...ranges[plane.across] },
        fixed: [{ axis: plane.fixed, value: cross[plane.fixed] }],
      });
    });
  }

  const cellsAcross = (ranges, inRow) =>
    ranges[2].cells * (inRow ? 2 : 1) + ranges[0].cells;
  const blockWidth = (ranges, cell, inRow) =>
    cellsAcross(ranges, inRow) * cell + GAP * (inRow ? 2 : 1);
  const blockHeight = (ranges, cell, inRow) =>
    inRow
      ? Math.max(ranges[1].cells, ranges[0].cells) * cell
      : (ranges[1].cells + ranges[0].cells) * cell + GAP + Scene.TITLE;

  /** The slices of one channel along depth, in rows; a cell as large as they allow. */
  function slices(side, channel, ranges, near, left, top, width, most) {
    const [depth, down, across] = ranges;
    const total = depth.count;
    const gap = across.spread > 1 ? 2 * GAP : GAP; // wider than between a slice's cells
    const cellFor = (rows) =>
      Math.floor(
        Math.min(
          (width / Math.ceil(total / rows) - gap) / across.cells,
          (most / rows - Scene.TITLE - 6) / down.cells,
          34,
        ),
      );
    // Slices too small to see even so: one row of them, which moves along.
    const best = [1, 2, 3].reduce(
      (rows, one) => (cellFor(one) > cellFor(rows) ? one : rows),
      1,
    );
    const rows = cellFor(best) < 4 ? 1 : best;
    const cell = Math.max(3, cellFor(rows));
    const fit = Math.max(1, Math.floor((width + gap) / (across.cells * cell + gap)));
    const shown = Scene.part(
      `slices.${side}`,
      [depth.first, depth.first + total],
      Math.min(total, fit * rows),
      near,
    );
    const [stepX, stepY] = [
      across.cells * cell + gap,
      down.cells * cell + Scene.TITLE + 6,
    ];
    const grids = Geometry.range(shown.first, shown.count).map(
      (place, i) =>
        new Scene.Grid({
          id: `${side}.slice${i}`,
          side,
          channel,
          w: cell,
          h: cell,
          x: left + (i % fit) * stepX,
          y: top + Math.floor(i / fit) * stepY + Scene.TITLE,
          title: String(place).replace("-", "−"),
          slice: true,
          spread: [down.spread, across.spread],
          rows: { axis: 1, ...down },
          cols: { axis: 2, ...across },
          fixed: [{ axis: 0, value: place }],
        }),
    );
    return { grids, height: Math.ceil(shown.count / fit) * stepY, whole: shown.whole };
  }

  /** The kernel between one input and one output channel, a grid for each depth. */
  function kernel(layer, output, input, cell, left, top, across) {
    const [kd, kh, kw] = layer.kernel_size;
    const name = Scene.weightTitle(layer, output, input).replace("]", ", 0]");
    return Geometry.range(0, kd).map(
      (place) =>
        new Scene.Grid({
          id: `weight.${place}`,
          side: "weight",
          channel: input,
          output,
          w: cell,
          h: cell,
          x: left + (across ? place * (kw * cell + GAP) : 0),
          y: top + (across ? 0 : place * (kh * cell + Scene.TITLE)),
          title: place === 0 ? name : String(place),
          rows: { axis: 1, first: 0, count: kh },
          cols: { axis: 2, first: 0, count: kw },
          fixed: [{ axis: 0, value: place }],
        }),
    );
  }

  /** How large the cells are, and whether input, kernel, output stand one below another:
   * on a narrow page, and where beside each other they would be too small to see. */
  function measure(layer, inputs, outputs, width) {
    const [kd, kh, kw] = layer.kernel_size;
    const upright = Math.floor(
      Scene.clamp(Math.min(320 / (kd * kh + kd), 140 / kw), 6, 34),
    );
    const spare = width - kw * upright - 2 * GAP - 88;
    const both = cellsAcross(inputs) + cellsAcross(outputs);
    const tallest = Math.max(
      inputs[0].cells + inputs[1].cells,
      outputs[0].cells + outputs[1].cells,
    );
    const beside = Math.floor(Math.min(spare / both, 470 / tallest, 38));
    if (width >= 560 && beside >= 9)
      return { stacked: false, inRow: false, cell: beside, kernelCell: upright };
    const inRow = width >= 560;
    const widest = Math.max(cellsAcross(inputs, inRow), cellsAcross(outputs, inRow));
    const cell = Math.floor(Scene.clamp((width - 2 * GAP) / widest, 3, 34));
    const kernelCell = Math.floor(
      Scene.clamp(Math.min((width - kd * GAP) / (kd * kw), 30), 4, 30),
    );
    return { stacked: true, inRow, cell, kernelCell };
  }

  /** A range with its cells `spread` steps apart, and how many steps it takes. */
  const apart = (range, spread) => ({
    ...range,
    spread,
    cells: (range.count - 1) * spread + 1,
  });

  /** The input's ranges. A transposed convolution's cells stand apart, with the zeros
   * between them, where there is room for numbers. */
  function inputRanges(layer, shown, outputs, width) {
    const close = shown.map((range) => apart(range, 1));
    if (!layer.transposed) return close;
    const spread = shown.map((range, axis) => apart(range, layer.stride[axis]));
    return measure(layer, spread, outputs, width).cell >= ROOMY ? spread : close;
  }

  /** Where the three blocks stand: corners, and the height that they take. */
  function place(layer, inputs, outputs, plan, width) {
    const { stacked, inRow, cell, kernelCell } = plan;
    const [kd, kh, kw] = layer.kernel_size;
    const top = 2 * Scene.TITLE + 6;
    const [inWidth, outWidth] = [inputs, outputs].map((one) =>
      blockWidth(one, cell, inRow),
    );
    const [inHeight, outHeight] = [inputs, outputs].map((one) =>
      blockHeight(one, cell, inRow),
    );
    if (stacked) {
      const left = Math.max(0, Math.floor((width - Math.max(inWidth, outWidth)) / 2));
      const kernelTop = top + inHeight + 26 + 2 * Scene.TITLE;
      const outTop = kernelTop + kh * kernelCell + 26 + 2 * Scene.TITLE;
      return {
        input: [left, top],
        kernel: [left, kernelTop],
        output: [left, outTop],
        height: outTop + outHeight + 26,
      };
    }
    const used = inWidth + outWidth + kw * kernelCell + 88;
    const left = Math.max(0, Math.floor((width - used) / 2));
    const kernelLeft = left + inWidth + 44;
    const deepest = Math.max(inHeight, outHeight, kd * (kh * kernelCell + Scene.TITLE));
    return {
      input: [left, top],
      kernel: [kernelLeft, top],
      output: [kernelLeft + kw * kernelCell + 44, top],
      height: top + deepest + 26,
    };
  }

  function layout(state, width) {
    const { model, cursor } = state;
    const { layer, size } = model;
    const near = Scene.focus(state);
    const cross = crosses(state);
    const frames = size.map((cells, axis) => Geometry.frame(layer, axis, cells));
    const shown = frames.map((range, axis) =>
      Scene.part(`volume.in${axis}`, range, MOST, near.input[axis]),
    );
    const outputs = model.out.map((count, axis) =>
      apart(Scene.part(`volume.out${axis}`, [0, count], MOST, near.output[axis]), 1),
    );
    const inputs = inputRanges(layer, shown, outputs, width);
    const plan = measure(layer, inputs, outputs, width);
    const corner = place(layer, inputs, outputs, plan, width);
    const outputChannel =
      cursor.side === "output" ? cursor.channel : Scene.focusChannels(state).output[0];
    const { inputChannel } = state;
    const grids = block(
      "input",
      inputChannel,
      inputs,
      cross.input,
      plan.cell,
      ...corner.input,
      plan.inRow,
    );
    if (Geometry.joins(layer, outputChannel, inputChannel)) {
      grids.push(
        ...kernel(
          layer,
          outputChannel,
          inputChannel,
          plan.kernelCell,
          ...corner.kernel,
          plan.stacked,
        ),
      );
    }
    grids.push(
      ...block(
        "output",
        outputChannel,
        outputs,
        cross.output,
        plan.cell,
        ...corner.output,
        plan.inRow,
      ),
    );
    const head = (key, [x, y], shape) => ({
      key: `view.${key}`,
      x,
      y: y - 2 * Scene.TITLE + 2,
      shape,
    });
    const headings = [
      head("input", corner.input, [layer.in_channels, ...size]),
      head("kernel", corner.kernel, plan.stacked ? layer.kernel_size : null),
      head("output", corner.output, [layer.out_channels, ...model.out]),
    ];
    let y = corner.height;
    let cut = ![...inputs, ...outputs].every((one) => one.whole);
    for (const [side, channel, ranges] of [
      ["input", inputChannel, inputs],
      ["output", outputChannel, outputs],
    ]) {
      headings.push({ key: `view.${side}Slices`, x: EDGE, y: y + 2 });
      const strip = slices(
        ...[side, channel, ranges, near[side][0]],
        ...[EDGE, y + 14, width - 2 * EDGE, 420],
      );
      grids.push(...strip.grids);
      y += strip.height + 44;
      cut = cut || !strip.whole;
    }
    return {
      grids,
      headings,
      width,
      height: y - 18,
      cut,
      volume: true,
      inputs: [inputChannel],
      outputs: [outputChannel],
      kernel: outputChannel,
    };
  }

  return { layout };
})();
