/* One axis: inputs above, outputs below, each under the middle of its window. */
const Strips = (() => {
  const { Grid, TITLE, clamp, part, focus, focusChannels, channels } = Scene;

  /** Strips: inputs above, outputs below, each output under the middle of its window. */
  function layout(state, width) {
    const { model } = state;
    const { layer, size } = model;
    const [low, high] = Geometry.frame(layer, 0, size[0]);
    const step = layer.stride[0];
    const middle = (Geometry.span(layer, 0) - 1) / 2;
    const before = Geometry.border(layer, 0)[0];
    // One lattice for both sides: convolution spreads outputs, its transpose inputs.
    const inputAt = (place) => (layer.transposed ? place * step : place);
    const outputAt = (place) =>
      layer.transposed ? place + before - middle : place * step - before + middle;
    const ends = [
      inputAt(low),
      outputAt(0),
      inputAt(high - 1),
      outputAt(model.out[0] - 1),
    ];
    const [left, right] = [Math.min(...ends), Math.max(...ends) + 1];
    const label = 52;
    const narrow = width < 560;
    const smallest = narrow ? 24 : 30;
    const most = Math.max(4, Math.floor((width - label) / smallest));
    const near = focus(state);
    const seen = part(
      "strip",
      [left, right],
      most,
      state.cursor.side === "output"
        ? [
            Math.min(inputAt(near.input[0][0]), outputAt(near.output[0][0])),
            Math.max(inputAt(near.input[0][1] - 1), outputAt(near.output[0][1] - 1)) +
              1,
          ]
        : [inputAt(near.input[0][0]) - 1, inputAt(near.input[0][0]) + 2],
    );
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
      grids.push(
        new Grid({
          id: `${side}${channel}`,
          side,
          channel,
          w: unit - 2,
          h,
          unit,
          spread: [1, stretch],
          x: x0 + (lattice(first) - seen.first) * unit + 1,
          y,
          title: `${side === "input" ? "x" : "y"}[${channel}]`,
          titleAt: [label - 14, y + h / 2],
          rows: { axis: null, first: 0, count: 1 },
          cols: { axis: 0, first, count: last - first + 1 },
        }),
      );
    };
    const top = TITLE + 14;
    inputs.forEach((channel, i) =>
      strip(
        "input",
        channel,
        top + i * (lanes + 14),
        inputAt,
        [low, high],
        layer.transposed ? step : 1,
      ),
    );
    const below = top + inputs.length * (lanes + 14) + 44;
    const sink = below + h * 0.86 + 16;
    outputs.forEach((channel, i) =>
      strip(
        "output",
        channel,
        sink + i * (lanes + 8),
        outputAt,
        [0, model.out[0]],
        layer.transposed ? 1 : step,
      ),
    );
    return {
      grids,
      width,
      height: sink + outputs.length * (lanes + 8) - h * 0.86,
      lane: h * 0.86,
      headings: [
        { key: "view.input", shape: [layer.in_channels, ...size], x: 0, y: 8 },
        {
          key: "view.output",
          shape: [layer.out_channels, ...model.out],
          x: 0,
          y: below - 4,
        },
      ],
      cut: !seen.whole,
      inputs,
      outputs,
      kernel: about.kernel,
    };
  }

  return { layout };
})();
