/* Where everything stands: grids of cells, for strips and for planes.
 * A grid shows two axes of a tensor (strips show one) and fixes the others. */
const Scene = (() => {
  const TITLE = 22;

  /** Cells of one channel: `rows` and `cols` say {axis, first, count}. */
  class Grid {
    constructor(fields) {
      Object.assign(this, { fixed: [], pitch: fields.w, index: [] }, fields);
      this.width = (this.cols.count - 1) * this.pitch + this.w;
      this.height = this.rows.count * this.h;
    }

    /** The tensor position at a row and a column. */
    position(row, col) {
      const place = [];
      for (const { axis, value } of this.fixed) place[axis] = value;
      if (this.rows.axis !== null) place[this.rows.axis] = this.rows.first + row;
      place[this.cols.axis] = this.cols.first + col;
      return place;
    }

    /** The rectangle of a position, or null where this grid does not show it. */
    box(place) {
      if (this.fixed.some(({ axis, value }) => place[axis] !== value)) return null;
      const row = this.rows.axis === null ? 0 : place[this.rows.axis] - this.rows.first;
      const col = place[this.cols.axis] - this.cols.first;
      if (row < 0 || row >= this.rows.count || col < 0 || col >= this.cols.count) return null;
      return { x: this.x + col * this.pitch, y: this.y + row * this.h, w: this.w, h: this.h };
    }

    /** The position under a point, or null. */
    at(x, y) {
      const col = Math.floor((x - this.x) / this.pitch);
      const row = Math.floor((y - this.y) / this.h);
      const inside = row >= 0 && row < this.rows.count && col >= 0 && col < this.cols.count;
      return inside && x - this.x - col * this.pitch <= this.w ? this.position(row, col) : null;
    }
  }

  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  const firsts = new Map(); // where partly shown axes begin, so that a view stays put

  /** Of [low, high) at most `most` cells, moved as little as shows [from, to). */
  function part(key, [low, high], most, [from, to]) {
    if (high - low <= most) return { first: low, count: high - low, whole: true };
    let first = clamp(firsts.get(key) ?? low, low, high - most);
    if (from < first) first = clamp(from - 1, low, high - most);
    else if (to > first + most) first = clamp(Math.min(to - most + 1, from), low, high - most);
    firsts.set(key, first);
    return { first, count: most, whole: false };
  }

  /** The stretch of each axis that the cursor is about, in the input and the output. */
  function focus({ model, cursor }) {
    const { layer, size } = model;
    const ends = (values, or) => (values.length ? [Math.min(...values), Math.max(...values) + 1] : or);
    const here = cursor.position.map((place) => [place, place + 1]);
    const cellsOf = (list, key) => here.map((own, axis) => ends(list.map((one) => one[key][axis]), own));
    if (cursor.side === "output") {
      return { output: here, input: cellsOf(Geometry.window(layer, size, cursor.position), "position") };
    }
    const single = { ...layer, groups: 1, in_channels: 1, out_channels: 1 };
    const touched = Geometry.touches(single, size, 0, cursor.position);
    const none = here.map(() => [0, 1]);
    return { input: here, output: touched.length ? cellsOf(touched, "position") : none };
  }

  /** The channels to show of `total`, kept about those that matter. */
  function channels(key, total, most, wanted) {
    const shown = part(key, [0, total], Math.max(1, most), wanted);
    return Geometry.range(shown.first, shown.count);
  }

  /** Ranges of channels that the cursor is about. */
  function focusChannels({ model, cursor, inputChannel }) {
    const { layer } = model;
    const reach = (list) => [list[0], list[list.length - 1] + 1];
    const { side, channel } = cursor;
    return side === "output"
      ? { output: [channel, channel + 1], input: reach(Geometry.sees(layer, channel)), kernel: channel }
      : { input: [channel, channel + 1], output: reach(Geometry.reaches(layer, channel)),
          kernel: Geometry.reaches(layer, inputChannel)[0] };
  }

  const weightTitle = (layer, output, input) =>
    layer.transposed
      ? `w[${input}, ${output % (layer.out_channels / layer.groups)}]`
      : `w[${output}, ${input % (layer.in_channels / layer.groups)}]`;

  /** Strips: inputs above, outputs below, each output under the middle of its window. */
  function strips(state, width) {
    const { model } = state;
    const { layer, size } = model;
    const [low, high] = Geometry.frame(layer, 0, size[0]);
    const step = layer.stride[0];
    const middle = (Geometry.span(layer, 0) - 1) / 2;
    const before = Geometry.border(layer, 0)[0];
    // One lattice for both sides: convolution spreads outputs, its transpose inputs.
    const inputAt = (place) => (layer.transposed ? place * step : place);
    const outputAt = (place) => (layer.transposed ? place + before - middle : place * step - before + middle);
    const ends = [inputAt(low), outputAt(0), inputAt(high - 1), outputAt(model.out[0] - 1)];
    const [left, right] = [Math.min(...ends), Math.max(...ends) + 1];
    const label = 52;
    const narrow = width < 560;
    const smallest = narrow ? 24 : 30;
    const most = Math.max(4, Math.floor((width - label) / smallest));
    const near = focus(state);
    const seen = part("strip", [left, right], most, state.cursor.side === "output"
      ? [Math.min(inputAt(near.input[0][0]), outputAt(near.output[0][0])), Math.max(inputAt(near.input[0][1] - 1), outputAt(near.output[0][1] - 1)) + 1]
      : [inputAt(near.input[0][0]) - 1, inputAt(near.input[0][0]) + 2]);
    const unit = Math.min(58, Math.floor((width - label) / seen.count));
    const h = clamp(unit * 0.72, 26, 38);
    const x0 = label + Math.max(0, (width - label - unit * seen.count) / 2);
    const about = focusChannels(state);
    const rowsMost = 6;
    const inputs = channels("strip.in", layer.in_channels, rowsMost, about.input);
    const outputs = channels("strip.out", layer.out_channels, rowsMost, about.output);
    const lanes = h + 6 + h * 0.86; // a strip and below it the weights that meet it
    const grids = [];
    const strip = (side, channel, y, lattice, [from, to], stretch) => {
      let first = from;
      while (first < to && lattice(first) < seen.first) first++;
      let last = to - 1;
      while (last >= first && lattice(last) >= seen.first + seen.count) last--;
      if (last < first) return;
      grids.push(new Grid({ id: `${side}${channel}`, side, channel, w: unit - 2, h, pitch: unit * stretch,
        x: x0 + (lattice(first) - seen.first) * unit + 1, y, title: `${side === "input" ? "x" : "y"}[${channel}]`,
        titleAt: [label - 14, y + h / 2], rows: { axis: null, first: 0, count: 1 }, cols: { axis: 0, first, count: last - first + 1 } }));
    };
    const top = TITLE + 14;
    inputs.forEach((channel, i) => strip("input", channel, top + i * (lanes + 14), inputAt, [low, high], layer.transposed ? step : 1));
    const below = top + inputs.length * (lanes + 14) + 44;
    const sink = below + h * 0.86 + 16;
    outputs.forEach((channel, i) => strip("output", channel, sink + i * (lanes + 8), outputAt, [0, model.out[0]], layer.transposed ? 1 : step));
    return {
      grids, width, height: sink + outputs.length * (lanes + 8) - h * 0.86, lane: h * 0.86,
      headings: [{ key: "view.input", shape: [layer.in_channels, ...size], x: 0, y: 8 },
        { key: "view.output", shape: [layer.out_channels, ...model.out], x: 0, y: below - 4 }],
      cut: !seen.whole, inputs, outputs, kernel: about.kernel,
    };
  }

  const HEAD = TITLE + 12; // what a grid needs above and below its cells

  /** Sizes for planes: output beside the kernel, or below where it would be too small. */
  function measure(model, width) {
    const { layer, size } = model;
    const [kh, kw] = layer.kernel_size;
    const [fh, fw] = size.map((cells, axis) => {
      const [low, high] = Geometry.frame(layer, axis, cells);
      return high - low;
    });
    const [oh, ow] = model.out;
    const kernelMost = Math.min(38, width * 0.24 / kw, 200 / kh);
    const beside = width - 2 * 40 - 92 - kw * Math.min(kernelMost, 30) - 8;
    const stacked = width < 560;
    const gap = stacked ? 24 : 40;
    const across = stacked ? width - gap - kw * Math.min(kernelMost, 28) - 8 : beside;
    // Cells below 7 pixels would be dust: of a long axis a part is shown.
    const room = Math.max(12, Math.floor(across / 7));
    const most = stacked ? Math.min(room, 40) : Math.max(Math.floor(room / 2), room - Math.max(fw, ow));
    const shown = { fh: Math.min(fh, most), fw: Math.min(fw, most), oh: Math.min(oh, most), ow: Math.min(ow, most) };
    const tall = width < 560 ? 620 : clamp(window.innerHeight - 240, 660, 900);
    const likely = Math.min(26, across / (shown.fw + (stacked ? 0 : shown.ow)));
    const rows = (cells, count, share) => clamp(Math.floor((tall * share) / (cells * likely + HEAD)), 1, Math.min(count, 8));
    const inputs = rows(shown.fh, layer.in_channels, 1);
    const high = (tall - inputs * HEAD) / (inputs * shown.fh);
    const cell = Math.floor(clamp(Math.min(across / (shown.fw + (stacked ? 0 : shown.ow)), Math.max(high, 12)), 5, 50));
    const kernelCell = Math.floor(clamp(Math.min(cell < 20 ? 30 : cell, kernelMost), 4, 50));
    return { ...shown, stacked, gap, cell, kernelCell, inputs, sums: stacked ? 0 : 92,
      outputs: rows(shown.oh, layer.out_channels, stacked ? 0.4 : 1) };
  }

  /** Planes: a row for each input channel, its kernel, its part of the sum; the output. */
  function planes(state, width) {
    const { model } = state;
    const { layer, size } = model;
    const plan = measure(model, width);
    const { cell, kernelCell, gap, stacked } = plan;
    const [kh, kw] = layer.kernel_size;
    const about = focusChannels(state);
    const inputs = channels("plane.in", layer.in_channels, plan.inputs, about.input);
    const outputs = channels("plane.out", layer.out_channels, plan.outputs, about.output);
    const near = focus(state);
    const [high, wide] = size.map((cells, axis) => Geometry.frame(layer, axis, cells));
    const rows = part("plane.rows", high, plan.fh, near.input[0]);
    const cols = part("plane.cols", wide, plan.fw, near.input[1]);
    const outRows = part("plane.outRows", [0, model.out[0]], plan.oh, near.output[0]);
    const outCols = part("plane.outCols", [0, model.out[1]], plan.ow, near.output[1]);
    const kernelAt = cols.count * cell + gap;
    const used = kernelAt + kw * kernelCell + plan.sums + (stacked ? 0 : gap + outCols.count * cell);
    const left = Math.max(0, Math.floor((width - used) / 2));
    const top = TITLE + 10;
    const rowHeight = Math.max(rows.count * cell, kh * kernelCell) + HEAD;
    const grids = [];
    const subtotals = [];
    inputs.forEach((channel, i) => {
      const y = top + i * rowHeight + TITLE;
      grids.push(new Grid({ id: `input${channel}`, side: "input", channel, x: left, y, w: cell, h: cell, title: `x[${channel}]`,
        rows: { axis: 0, ...rows }, cols: { axis: 1, ...cols } }));
      if (!Geometry.joins(layer, about.kernel, channel)) return;
      const middle = y + Math.max(0, (rows.count * cell - kh * kernelCell) / 2);
      grids.push(new Grid({ id: `weight${channel}`, side: "weight", channel, output: about.kernel,
        x: left + kernelAt, y: middle, w: kernelCell, h: kernelCell, title: weightTitle(layer, about.kernel, channel),
        rows: { axis: 0, first: 0, count: kh }, cols: { axis: 1, first: 0, count: kw } }));
      subtotals.push({ channel, x: left + kernelAt + kw * kernelCell + 14, y: middle + (kh * kernelCell) / 2 });
    });
    const inHeight = inputs.length * rowHeight;
    const outRow = outRows.count * cell + HEAD;
    const outTop = stacked ? top + inHeight + TITLE + 8 : top + Math.max(0, (inHeight - outputs.length * outRow) / 2);
    const outLeft = stacked ? left : left + kernelAt + kw * kernelCell + plan.sums + gap;
    // Below the input there is room for several outputs side by side.
    const outStep = Math.max(outCols.count * cell, 40) + 20;
    const inLine = stacked ? Math.max(1, Math.floor((width - left + 20) / outStep)) : 1;
    outputs.forEach((channel, i) => grids.push(new Grid({ id: `output${channel}`, side: "output", channel, w: cell, h: cell,
      x: outLeft + (i % inLine) * outStep, y: outTop + Math.floor(i / inLine) * outRow + TITLE, title: `y[${channel}]`,
      rows: { axis: 0, ...outRows }, cols: { axis: 1, ...outCols } })));
    const heading = (key, x, y, shape) => ({ key, x, y, shape });
    return {
      grids, subtotals, width, stacked, inputs, outputs, kernel: about.kernel,
      height: Math.max(top + inHeight, outTop + Math.ceil(outputs.length / inLine) * outRow) + 4,
      headings: [heading("view.input", left, 8, [layer.in_channels, ...size]),
        heading("view.kernel", left + kernelAt, 8, kw * kernelCell > 100 ? layer.kernel_size : null),
        heading("view.output", outLeft, stacked ? outTop - 14 : 8, [layer.out_channels, ...model.out])],
      cut: ![rows, cols, outRows, outCols].every((one) => one.whole),
    };
  }

  function layout(state, width) {
    const { rank } = state.model.layer;
    return rank === 1 ? strips(state, width) : rank === 2 ? planes(state, width) : Volume.layout(state, width);
  }

  return { Grid, TITLE, clamp, part, focus, focusChannels, weightTitle, layout };
})();
