/* Two axes: a row for each input channel with its kernel, and the outputs beside it. */
const Planes = (() => {
  const { Grid, TITLE, clamp, part, focus, focusChannels, channels, weightTitle } =
    Scene;
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
    const kernelMost = Math.min(38, (width * 0.24) / kw, 200 / kh);
    // The three share the width; a kernel's cells are a little larger, for its numbers.
    const free = width - 2 * 32 - 84 - 8;
    const even = free / (fw + ow + kw);
    const beside = free - kw * Math.min(kernelMost, clamp(even * 1.3, 26, 30));
    const stacked = width < 560;
    const gap = stacked ? 24 : 32;
    const across = stacked ? width - gap - kw * Math.min(kernelMost, 28) - 8 : beside;
    // Cells below 7 pixels would be dust: of a long axis a part is shown.
    const room = Math.max(12, Math.floor(across / 7));
    const most = stacked
      ? Math.min(room, 40)
      : Math.max(Math.floor(room / 2), room - Math.max(fw, ow));
    // A transposed convolution is seen best with its zeros between the cells.
    const lattice = (spread) => [
      (Math.min(fh, most) - 1) * spread[0] + 1,
      (Math.min(fw, most) - 1) * spread[1] + 1,
    ];
    const beyond = stacked ? 0 : Math.min(ow, most);
    const roomy = across / (lattice(layer.stride)[1] + beyond) >= 20;
    const spread = layer.transposed && roomy ? layer.stride : [1, 1];
    const [deep, wide] = lattice(spread);
    const shown = {
      fh: Math.min(fh, most),
      fw: Math.min(fw, most),
      oh: Math.min(oh, most),
      ow: Math.min(ow, most),
    };
    const tall = width < 560 ? 620 : clamp(window.innerHeight - 240, 660, 900);
    const likely = Math.min(26, across / (wide + beyond));
    const rows = (cells, count, share) =>
      clamp(
        Math.floor((tall * share) / (cells * likely + HEAD)),
        1,
        Math.min(count, 8),
      );
    const inputs = rows(deep, layer.in_channels, 1);
    const high = (tall - inputs * HEAD) / (inputs * deep);
    const cell = Math.floor(
      clamp(Math.min(across / (wide + beyond), Math.max(high, 12)), 5, 50),
    );
    const kernelCell = Math.floor(
      clamp(
        Math.min(
          kernelMost,
          Math.max(cell, clamp(stacked ? 30 : even * 1.3, 26, 30)),
        ),
        4,
        50,
      ),
    );
    return {
      ...shown,
      spread,
      stacked,
      gap,
      cell,
      kernelCell,
      inputs,
      sums: stacked ? 0 : 84,
      outputs: rows(shown.oh, layer.out_channels, stacked ? 0.4 : 1),
    };
  }

  /** Planes: a row for each input channel, its kernel, its part of the sum; the output. */
  function layout(state, width) {
    const { model } = state;
    const { layer, size } = model;
    const plan = measure(model, width);
    const { cell, kernelCell, gap, stacked, spread } = plan;
    const [kh, kw] = layer.kernel_size;
    const about = focusChannels(state);
    const inputs = channels("plane.in", layer.in_channels, plan.inputs, about.input);
    const outputs = channels(
      "plane.out",
      layer.out_channels,
      plan.outputs,
      about.output,
    );
    const near = focus(state);
    const [high, wide] = size.map((cells, axis) => Geometry.frame(layer, axis, cells));
    const rows = part("plane.rows", high, plan.fh, near.input[0]);
    const cols = part("plane.cols", wide, plan.fw, near.input[1]);
    const outRows = part("plane.outRows", [0, model.out[0]], plan.oh, near.output[0]);
    const outCols = part("plane.outCols", [0, model.out[1]], plan.ow, near.output[1]);
    const deep = ((rows.count - 1) * spread[0] + 1) * cell;
    const kernelAt = ((cols.count - 1) * spread[1] + 1) * cell + gap;
    const used =
      kernelAt +
      kw * kernelCell +
      plan.sums +
      (stacked ? 0 : gap + outCols.count * cell);
    const left = Math.max(0, Math.floor((width - used) / 2));
    const top = TITLE + 10;
    const rowHeight = Math.max(deep, kh * kernelCell) + HEAD;
    const grids = [];
    const subtotals = [];
    inputs.forEach((channel, i) => {
      const y = top + i * rowHeight + TITLE;
      grids.push(
        new Grid({
          id: `input${channel}`,
          side: "input",
          channel,
          x: left,
          y,
          w: cell,
          h: cell,
          spread,
          title: `x[${channel}]`,
          rows: { axis: 0, ...rows },
          cols: { axis: 1, ...cols },
        }),
      );
      if (!Geometry.joins(layer, about.kernel, channel)) return;
      const middle = y + Math.max(0, (deep - kh * kernelCell) / 2);
      grids.push(
        new Grid({
          id: `weight${channel}`,
          side: "weight",
          channel,
          output: about.kernel,
          x: left + kernelAt,
          y: middle,
          w: kernelCell,
          h: kernelCell,
          title: weightTitle(layer, about.kernel, channel),
          rows: { axis: 0, first: 0, count: kh },
          cols: { axis: 1, first: 0, count: kw },
        }),
      );
      subtotals.push({
        channel,
        x: left + kernelAt + kw * kernelCell + 14,
        y: middle + (kh * kernelCell) / 2,
      });
    });
    const inHeight = inputs.length * rowHeight;
    const outRow = outRows.count * cell + HEAD;
    const outTop = stacked
      ? top + inHeight + TITLE + 8
      : top + Math.max(0, (inHeight - outputs.length * outRow) / 2);
    const outLeft = stacked
      ? left
      : left + kernelAt + kw * kernelCell + plan.sums + gap;
    // Below the input there is room for several outputs side by side.
    const outStep = Math.max(outCols.count * cell, 40) + 20;
    const inLine = stacked ? Math.max(1, Math.floor((width - left + 20) / outStep)) : 1;
    outputs.forEach((channel, i) =>
      grids.push(
        new Grid({
          id: `output${channel}`,
          side: "output",
          channel,
          w: cell,
          h: cell,
          x: outLeft + (i % inLine) * outStep,
          y: outTop + Math.floor(i / inLine) * outRow + TITLE,
          title: `y[${channel}]`,
          rows: { axis: 0, ...outRows },
          cols: { axis: 1, ...outCols },
        }),
      ),
    );
    const heading = (key, x, y, shape) => ({ key, x, y, shape });
    return {
      grids,
      subtotals,
      width,
      stacked,
      inputs,
      outputs,
      kernel: about.kernel,
      height:
        Math.max(top + inHeight, outTop + Math.ceil(outputs.length / inLine) * outRow) +
        4,
      headings: [
        heading("view.input", left, 8, [layer.in_channels, ...size]),
        heading(
          "view.kernel",
          left + kernelAt,
          8,
          kw * kernelCell > 100 ? layer.kernel_size : null,
        ),
        heading("view.output", outLeft, stacked ? outTop - 14 : 8, [
          layer.out_channels,
          ...model.out,
        ]),
      ],
      cut: ![rows, cols, outRows, outCols].every((one) => one.whole),
    };
  }

  return { layout };
})();
