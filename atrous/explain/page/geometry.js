"use strict";
/* Which cells meet which weights: the mirror of taps.py, and all the pictures know.
 *
 * A layer is {rank, transposed, in_channels, out_channels, kernel_size, stride, padding,
 * output_padding, dilation, groups, bias, padding_mode}; a size is the input's, without
 * channels. Along each axis on its own an output cell o and a tap k meet at
 *     convolution  o·stride − padding + k·dilation
 *     transposed   (o + padding − k·dilation) / stride, where that is a whole number.
 */
const Geometry = (() => {
  const AXES = ["depth", "height", "width"];
  const axisNames = (rank) => AXES.slice(3 - rank);

  /** Cells from the first tap of the kernel to its last, both counted. */
  const span = (layer, axis) =>
    layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1;

  /** Cells added before and after an axis. */
  function border(layer, axis) {
    if (layer.padding === "valid") return [0, 0];
    if (layer.padding === "same") {
      const before = Math.floor((span(layer, axis) - 1) / 2);
      return [before, span(layer, axis) - 1 - before];
    }
    return [layer.padding[axis], layer.padding[axis]];
  }

  function outAlong(layer, axis, cells) {
    const [before, after] = border(layer, axis);
    if (layer.transposed) {
      const grown = (cells - 1) * layer.stride[axis] - before - after;
      return grown + span(layer, axis) + layer.output_padding[axis];
    }
    return (
      Math.floor((cells + before + after - span(layer, axis)) / layer.stride[axis]) + 1
    );
  }

  const outputSize = (layer, size) =>
    size.map((cells, axis) => outAlong(layer, axis, cells));

  function weightShape(layer) {
    const ends = [layer.out_channels, layer.in_channels];
    if (layer.transposed) ends.reverse();
    return [ends[0], Math.floor(ends[1] / layer.groups), ...layer.kernel_size];
  }

  function weightIndex(layer, output, input, tap) {
    return layer.transposed
      ? [input, output % (layer.out_channels / layer.groups), ...tap]
      : [output, input % (layer.in_channels / layer.groups), ...tap];
  }

  const range = (first, count) => Array.from({ length: count }, (_, i) => first + i);

  /** The input channels that an output channel is made of. */
  function sees(layer, output) {
    const inputs = layer.in_channels / layer.groups;
    return range(
      Math.floor(output / (layer.out_channels / layer.groups)) * inputs,
      inputs,
    );
  }

  /** The output channels that an input channel goes into. */
  function reaches(layer, input) {
    const outputs = layer.out_channels / layer.groups;
    return range(
      Math.floor(input / (layer.in_channels / layer.groups)) * outputs,
      outputs,
    );
  }

  /** Do two channels meet? */
  const joins = (layer, output, input) =>
    Math.floor(output / (layer.out_channels / layer.groups)) ===
    Math.floor(input / (layer.in_channels / layer.groups));

  /** Where a cell of an axis comes from; −1 is a zero. */
  function source(position, cells, mode) {
    if (position >= 0 && position < cells) return position;
    if (mode === "reflect")
      return position < 0 ? -position : 2 * (cells - 1) - position;
    if (mode === "replicate") return position < 0 ? 0 : cells - 1;
    if (mode === "circular") return ((position % cells) + cells) % cells;
    return -1;
  }

  /** The taps of one output position along one axis: {tap, position, source}. */
  function along(layer, axis, output, cells) {
    const step = layer.stride[axis];
    const hole = layer.dilation[axis];
    const before = border(layer, axis)[0];
    const meetings = [];
    for (let tap = 0; tap < layer.kernel_size[axis]; tap++) {
      let position = output * step - before + tap * hole;
      if (layer.transposed) {
        position = (output + before - tap * hole) / step;
        if (!Number.isInteger(position)) continue;
      }
      meetings.push({
        tap,
        position,
        source: source(position, cells, layer.padding_mode),
      });
    }
    return meetings;
  }

  /** The positions along an axis, border cells included, that repeat cell `place`. */
  function echoes(layer, axis, place, cells) {
    const [low, high] = frame(layer, axis, cells);
    const mode = layer.padding_mode;
    const found = new Set([place]);
    if (mode === "reflect")
      [-place, 2 * (cells - 1) - place].forEach((p) => found.add(p));
    if (mode === "circular")
      [place - cells, place + cells].forEach((p) => found.add(p));
    if (mode === "replicate" && place === 0)
      range(low, -low).forEach((p) => found.add(p));
    if (mode === "replicate" && place === cells - 1) {
      range(cells, high - cells).forEach((p) => found.add(p));
    }
    return [...found].filter(
      (p) => p === place || (p >= low && p < high && (p < 0 || p >= cells)),
    );
  }

  /** The reverse along one axis: {output, tap, position} that read cell `place`. */
  function backAlong(layer, axis, place, cells) {
    const outputs = outAlong(layer, axis, cells);
    const [before] = border(layer, axis);
    const step = layer.stride[axis];
    const meetings = [];
    for (const position of echoes(layer, axis, place, cells)) {
      for (let tap = 0; tap < layer.kernel_size[axis]; tap++) {
        const reach = tap * layer.dilation[axis];
        const output = layer.transposed
          ? position * step - before + reach
          : (position + before - reach) / step;
        if (Number.isInteger(output) && output >= 0 && output < outputs) {
          meetings.push({ output, tap, position });
        }
      }
    }
    return meetings.sort((a, b) => a.output - b.output || a.tap - b.tap);
  }

  /** The positions [low, high) of an axis that a picture shows: the input, its border. */
  function frame(layer, axis, cells) {
    if (!layer.transposed) {
      const [before, after] = border(layer, axis);
      return [-before, cells + after];
    }
    const [before] = border(layer, axis);
    const last = outAlong(layer, axis, cells) - 1 + before;
    const first = before - (span(layer, axis) - 1);
    const low = Math.ceil(first / layer.stride[axis]);
    return [
      Math.min(low, 0),
      Math.max(Math.floor(last / layer.stride[axis]) + 1, cells),
    ];
  }

  /** All combinations, the last list running fastest. */
  function product(lists) {
    return lists.reduce(
      (rows, list) => rows.flatMap((row) => list.map((one) => [...row, one])),
      [[]],
    );
  }

  /** The taps of an output position, apart from channels: {tap, position, source}. */
  function window(layer, size, place) {
    return product(
      size.map((cells, axis) => along(layer, axis, place[axis], cells)),
    ).map((row) => {
      const origin = row.map((one) => one.source);
      return {
        tap: row.map((one) => one.tap),
        position: row.map((one) => one.position),
        source: origin.includes(-1) ? null : origin,
      };
    });
  }

  /** The products that output cell (channel, position) sums, in the weight's order. */
  function taps(layer, size, channel, place) {
    const cells = window(layer, size, place);
    return sees(layer, channel).flatMap((input) =>
      cells.map(({ tap, position, source }) => ({
        channel: input,
        position,
        source,
        weight: weightIndex(layer, channel, input, tap),
      })),
    );
  }

  /** The products that an input cell is part of: `taps` reversed. */
  function touches(layer, size, channel, place) {
    const lines = size.map((cells, axis) => backAlong(layer, axis, place[axis], cells));
    const rows = product(lines);
    return reaches(layer, channel).flatMap((output) =>
      rows.map((row) => ({
        channel: output,
        position: row.map((one) => one.output),
        through: row.map((one) => one.position),
        weight: weightIndex(
          layer,
          output,
          channel,
          row.map((one) => one.tap),
        ),
      })),
    );
  }

  /** Does any output read this position of an axis? */
  const isRead = (layer, axis, place, cells) =>
    backAlong(layer, axis, place, cells).length > 0;

  return {
    axisNames,
    span,
    border,
    outAlong,
    outputSize,
    weightShape,
    weightIndex,
    sees,
    reaches,
    joins,
    source,
    frame,
    window,
    taps,
    touches,
    isRead,
    product,
    range,
  };
})();
