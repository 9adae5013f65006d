/* Volumes: three linked planes through a cross-hair, and the stack of slices. */
const Volume = (() => {
  const MOST = 64; // cells of an axis that a plane shows
  const GAP = 12;

  /** Where the planes cut: through the cell pointed at, and through what it meets. */
  function crosses({ model, cursor }) {
    const { layer, size } = model;
    const middle = (list, or) => (list.length ? list[Math.floor(list.length / 2)] : or);
    if (cursor.side === "output") {
      const met = Geometry.window(layer, size, cursor.position);
      const nearest = size.map((cells, axis) => Scene.clamp(Math.floor(cursor.position[axis] / layer.stride[axis]), 0, cells - 1));
      return { output: cursor.position, input: middle(met, { position: nearest }).position };
    }
    const single = { ...layer, groups: 1, in_channels: 1, out_channels: 1 };
    const touched = Geometry.touches(single, size, 0, cursor.position);
    return { input: cursor.position, output: middle(touched, { position: model.out.map(() => 0) }).position };
  }

  /** The axes of the three planes: which is fixed, which run down and across. */
  const PLANES = [
    { fixed: 0, down: 1, across: 2, x: 0, y: 0, name: "depth" },
    { fixed: 2, down: 1, across: 0, x: 1, y: 0, name: "width" },
    { fixed: 1, down: 0, across: 2, x: 0, y: 1, name: "height" },
  ];

  /** Three planes of one channel that share edges: depth, width beside, height below. */
  function block(side, channel, ranges, cross, cell, left, top) {
    const letter = side === "input" ? "x" : "y";
    return PLANES.map((plane) => {
      const x = left + plane.x * (ranges[2].count * cell + GAP);
      const y = top + plane.y * (ranges[1].count * cell + GAP + Scene.TITLE);
      const index = [":", ":", ":"];
      index[plane.fixed] = cross[plane.fixed];
      return new Scene.Grid({
        id: `${side}.${plane.name}`, side, channel, x, y, w: cell, h: cell, cross,
        title: `${letter}[${channel}, ${index.join(", ")}]`.replaceAll("-", "−"),
        rows: { axis: plane.down, ...ranges[plane.down] },
        cols: { axis: plane.across, ...ranges[plane.across] },
        fixed: [{ axis: plane.fixed, value: cross[plane.fixed] }],
      });
    });
  }

  const blockWidth = (ranges, cell) => (ranges[2].count + ranges[0].count) * cell + GAP;
  const blockHeight = (ranges, cell) => (ranges[1].count + ranges[0].count) * cell + GAP + Scene.TITLE;

  /** The slices of one channel along depth, in rows; a cell as large as they allow. */
  function slices(side, channel, ranges, near, left, top, width, most) {
    const [depth, down, across] = ranges;
    const total = depth.count;
    const cellFor = (rows) => Math.floor(Math.min((width / Math.ceil(total / rows) - GAP) / across.count,
      (most / rows - Scene.TITLE - 6) / down.count, 34));
    const rows = [1, 2, 3].reduce((best, one) => (cellFor(one) > cellFor(best) ? one : best), 1);
    const cell = Math.max(3, cellFor(rows));
    const fit = Math.max(1, Math.floor((width + GAP) / (across.count * cell + GAP)));
    const shown = Scene.part(`slices.${side}`, [depth.first, depth.first + total], Math.min(total, fit * rows), near);
    const [stepX, stepY] = [across.count * cell + GAP, down.count * cell + Scene.TITLE + 6];
    const grids = Geometry.range(shown.first, shown.count).map((place, i) => new Scene.Grid({
      id: `${side}.slice${i}`, side, channel, w: cell, h: cell,
      x: left + (i % fit) * stepX, y: top + Math.floor(i / fit) * stepY + Scene.TITLE,
      title: String(place).replace("-", "−"), slice: true,
      rows: { axis: 1, ...down }, cols: { axis: 2, ...across }, fixed: [{ axis: 0, value: place }],
    }));
    return { grids, height: Math.ceil(shown.count / fit) * stepY, whole: shown.whole };
  }

  /** The kernel between one input and one output channel, a grid for each depth. */
  function kernel(layer, output, input, cell, left, top) {
    const [kd, kh, kw] = layer.kernel_size;
    return Geometry.range(0, kd).map((place) => new Scene.Grid({
      id: `weight.${place}`, side: "weight", channel: input, output, w: cell, h: cell,
      x: left, y: top + place * (kh * cell + Scene.TITLE),
      title: place === 0 ? `${Scene.weightTitle(layer, output, input).replace("]", ", 0]")}` : String(place),
      rows: { axis: 1, first: 0, count: kh }, cols: { axis: 2, first: 0, count: kw }, fixed: [{ axis: 0, value: place }],
    }));
  }

  function layout(state, width) {
    const { model, cursor } = state;
    const { layer, size } = model;
    const near = Scene.focus(state);
    const cross = crosses(state);
    const frames = size.map((cells, axis) => Geometry.frame(layer, axis, cells));
    const inputs = frames.map((range, axis) => Scene.part(`volume.in${axis}`, range, MOST, near.input[axis]));
    const outputs = model.out.map((count, axis) => Scene.part(`volume.out${axis}`, [0, count], MOST, near.output[axis]));
    const about = Scene.focusChannels(state);
    const narrow = width < 560;
    const [kd, kh, kw] = layer.kernel_size;
    const sides = narrow ? [inputs] : [inputs, outputs];
    const cells = sides.reduce((sum, side) => sum + side[0].count + side[2].count, 0);
    const kernelCell = Math.floor(Scene.clamp(320 / (kd * kh + kd), 8, narrow ? 30 : Scene.clamp(140 / kw, 8, 34)));
    const spare = width - (narrow ? GAP : kw * kernelCell + 2 * GAP + 88);
    const tallest = Math.max(...sides.map((side) => side[0].count + side[1].count));
    const cell = Math.floor(Scene.clamp(Math.min(spare / cells, 470 / tallest), 3, 38));
    const outputChannel = cursor.side === "output" ? cursor.channel : about.output[0];
    const inputChannel = state.inputChannel;
    const top = 2 * Scene.TITLE + 6;
    const used = narrow ? blockWidth(inputs, cell) : blockWidth(inputs, cell) + blockWidth(outputs, cell) + kw * kernelCell + 88;
    const left = Math.max(0, Math.floor((width - used) / 2));
    const grids = block("input", inputChannel, inputs, cross.input, cell, left, top);
    const headings = [{ key: "view.input", x: left, y: 8, shape: [layer.in_channels, ...size] }];
    let kernelLeft = left + blockWidth(inputs, cell) + 44;
    let y = top + blockHeight(inputs, cell) + 26;
    let outTop = top;
    let outLeft = kernelLeft + kw * kernelCell + 44;
    let kernelTop = top;
    if (narrow) {
      [kernelLeft, kernelTop] = [left, y + Scene.TITLE + 16];
      headings.push({ key: "view.kernel", x: left, y: y - 6, shape: layer.kernel_size });
      y = kernelTop + kd * (kh * kernelCell + Scene.TITLE) + 20;
      [outLeft, outTop] = [left, y + 2 * Scene.TITLE - 4];
      headings.push({ key: "view.output", x: left, y: y - 4, shape: [layer.out_channels, ...model.out] });
      y = outTop + blockHeight(outputs, cell) + 26;
    } else {
      headings.push({ key: "view.kernel", x: kernelLeft, y: 8 });
      headings.push({ key: "view.output", x: outLeft, y: 8, shape: [layer.out_channels, ...model.out] });
      y = Math.max(y, top + kd * (kh * kernelCell + Scene.TITLE) + 20, top + blockHeight(outputs, cell) + 26);
    }
    if (Geometry.sees(layer, outputChannel).includes(inputChannel)) {
      grids.push(...kernel(layer, outputChannel, inputChannel, kernelCell, kernelLeft, kernelTop));
    }
    grids.push(...block("output", outputChannel, outputs, cross.output, cell, outLeft, outTop));
    let whole = [...inputs, ...outputs].every((one) => one.whole);
    for (const [side, channel, ranges] of [["input", inputChannel, inputs], ["output", outputChannel, outputs]]) {
      headings.push({ key: `view.${side}Slices`, x: 0, y: y + 2 });
      const strip = slices(side, channel, ranges, near[side][0], 0, y + 14, width, 420);
      grids.push(...strip.grids);
      y += strip.height + 44;
      whole = whole && strip.whole;
    }
    return { grids, headings, width, height: y - 18, partial: !whole, volume: true, narrow,
      inputs: [inputChannel], outputs: [outputChannel], kernel: outputChannel };
  }

  return { layout };
})();
