/* Channels × groups: which inputs meet which outputs, and the weight in its true shape. */
const Matrix = (() => {
  const MOST = 24; // channels a side; more would be too small to point at
  let canvas, note, tiles, painted;
  const sheet = { model: null, key: "", canvas: document.createElement("canvas") };

  function start() {
    canvas = document.getElementById("blocks");
    note = document.getElementById("matrix-note");
    for (const event of ["setting", "look"]) State.on(event, draw);
    State.on("cursor", follow);
    canvas.addEventListener("pointerdown", (event) => {
      const tile = tileAt(event);
      if (!tile) return;
      State.inputChannel = tile.input;
      State.point({
        side: "output",
        channel: tile.output,
        position: State.cursor.side === "output" ? State.cursor.position : [],
      });
      if (Geometry.joins(State.model.layer, tile.output, tile.input)) {
        State.inputChannel = tile.input;
        State.tell("cursor");
      }
    });
    canvas.addEventListener("pointermove", (event) => {
      const tile = tileAt(event);
      canvas.style.cursor = tile ? "pointer" : "default";
      canvas.title = tile ? Words.say("matrix.tile", tile) : "";
    });
    Stage.whenWidthChanges(canvas.parentElement, draw);
  }

  function tileAt(event) {
    const { left, top } = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    return tiles?.find(
      (one) => x >= one.x && x < one.x + one.w && y >= one.y && y < one.y + one.h,
    );
  }

  const current = () =>
    State.cursor.side === "output"
      ? State.cursor.channel
      : Geometry.reaches(State.model.layer, State.cursor.channel)[0];

  /** Only another channel changes this picture. */
  function follow() {
    if (painted !== `${current()},${State.inputChannel}`) draw();
  }

  function draw() {
    const { model } = State;
    const { layer } = model;
    const width = canvas.parentElement.clientWidth;
    if (!width) return;
    painted = `${current()},${State.inputChannel}`;
    const size = plan(layer, width);
    tiles = places(layer, size);
    const sharp = Math.min(3, window.devicePixelRatio || 1);
    const context = fit(canvas, width, size.height, sharp);
    canvas.style.height = `${size.height}px`;
    context.drawImage(kernels(model, size, width, sharp), 0, 0, width, size.height);
    marks(new Pen.CanvasPen(context), layer, size);
    note.textContent =
      Words.say("matrix.shape", {
        shape: `(${Geometry.weightShape(layer).join(", ")})`,
        meaning: layer.transposed
          ? `(in, out / groups, ${taps(layer)})`
          : `(out, in / groups, ${taps(layer)})`,
        groups: layer.groups,
        each: Geometry.sees(layer, 0).length,
      }) + (size.whole ? "" : ` ${Words.say("matrix.part", { count: MOST })}`);
  }

  const taps = (layer) => ["kd", "kh", "kw"].slice(3 - layer.rank).join(", ");

  /** How large a tile is, and where both drawings stand. */
  function plan(layer, width) {
    const near = (total, wanted) => {
      const first = Math.max(
        0,
        Math.min(Math.floor(wanted / MOST) * MOST, total - MOST),
      );
      return Geometry.range(first, Math.min(total, MOST));
    };
    const outputs = near(layer.out_channels, current());
    const inputs = near(layer.in_channels, State.inputChannel);
    const stored = layer.transposed
      ? layer.out_channels / layer.groups
      : layer.in_channels / layer.groups;
    const storedRows = layer.transposed ? inputs : outputs;
    const second = (layer.transposed ? current() : State.inputChannel) % stored;
    const storedCols = near(stored, second);
    const narrow = width < 560;
    const across = narrow
      ? Math.max(inputs.length, storedCols.length)
      : inputs.length + storedCols.length;
    const [th, tw] = tileShape(layer);
    const margin = 56;
    const widest = layer.rank === 3 ? 220 : 84;
    const w = Math.floor(
      Math.max(
        8,
        Math.min(
          widest,
          (width - margin * (narrow ? 1 : 2) - 40) / across,
          (tw / th) * 84,
          (420 / outputs.length) * (tw / th),
        ),
      ),
    );
    const h = Math.max(8, Math.round((w * th) / tw));
    const left = margin;
    const top = 62;
    const secondLeft = narrow
      ? left
      : left + Math.max(inputs.length * w + 64 + margin / 2, 240);
    const secondTop = narrow ? top + outputs.length * h + 84 : top;
    const height =
      Math.max(top + outputs.length * h, secondTop + storedRows.length * h) + 12;
    const whole =
      outputs.length === layer.out_channels && inputs.length === layer.in_channels;
    return {
      outputs,
      inputs,
      storedRows,
      storedCols,
      w,
      h,
      left,
      top,
      secondLeft,
      secondTop,
      height,
      whole,
    };
  }

  /** Rows and columns of a tile: the kernel, its depth slices side by side. */
  function tileShape(layer) {
    const k = layer.kernel_size;
    if (k.length === 1) return [1.2, Math.max(2, k[0])];
    return k.length === 2
      ? [k[0] + 0.4, k[1] + 0.4]
      : [k[1] + 0.4, k[0] * k[2] + k[0] * 0.4];
  }

  function fit(target, width, height, sharp) {
    target.width = Math.round(width * sharp);
    target.height = Math.round(height * sharp);
    const context = target.getContext("2d");
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    return context;
  }

  /** The tiles of both drawings: where, and which channels they join, if they do. */
  function places(layer, size) {
    const {
      outputs,
      inputs,
      storedRows,
      storedCols,
      left,
      top,
      secondLeft,
      secondTop,
      w,
      h,
    } = size;
    const found = [];
    outputs.forEach((output, row) =>
      inputs.forEach((input, col) => {
        found.push({
          x: left + col * w,
          y: top + row * h,
          w,
          h,
          input,
          output,
          joined: Geometry.joins(layer, output, input),
        });
      }),
    );
    const [perOut, perIn] = [
      layer.out_channels / layer.groups,
      layer.in_channels / layer.groups,
    ];
    storedRows.forEach((first, row) =>
      storedCols.forEach((second, col) => {
        const [output, input] = layer.transposed
          ? [Math.floor(first / perIn) * perOut + second, first]
          : [first, Math.floor(first / perOut) * perIn + second];
        found.push({
          x: secondLeft + col * w,
          y: secondTop + row * h,
          w,
          h,
          input,
          output,
          joined: true,
        });
      }),
    );
    return found;
  }

  /** The kernels, drawn once for a setting: pointing elsewhere only moves the marks. */
  function kernels(model, size, width, sharp) {
    const { theme } = document.documentElement.dataset;
    const key = [
      theme,
      width,
      sharp,
      size.outputs[0],
      size.inputs[0],
      size.storedCols[0],
    ].join();
    if (sheet.model === model && sheet.key === key) return sheet.canvas;
    Object.assign(sheet, { model, key });
    const pen = new Pen.CanvasPen(fit(sheet.canvas, width, size.height, sharp));
    for (const one of tiles) {
      if (one.joined) tile(pen, model, one, one.output, one.input);
      else absent(pen, one);
    }
    return sheet.canvas;
  }

  /** Headings, indices, the groups' blocks, and what is chosen. */
  function marks(pen, layer, size) {
    const { ink } = Cells.palette;
    const { outputs, inputs, left, top, w, h } = size;
    const head = (key, x, y) =>
      pen.text(Words.say(key), x, y, {
        size: 13,
        weight: 600,
        fill: ink,
        align: "left",
      });
    head("matrix.used", left, 12);
    labels(pen, inputs, outputs, left, top, w, h, ["x", "y"]);
    head("matrix.stored", size.secondLeft, size.secondTop - 50);
    labels(
      pen,
      size.storedCols,
      size.storedRows,
      size.secondLeft,
      size.secondTop,
      w,
      h,
      ["", layer.transposed ? "x" : "y"],
    );
    frame(pen, layer, size);
  }

  /** Indices along two edges; where they would collide, every second, fifth … one. */
  function labels(pen, cols, rows, left, top, w, h, [colName, rowName]) {
    const { quiet, accent } = Cells.palette;
    const every = (pitch, need) =>
      [1, 2, 5, 10].find((step) => step * pitch >= need) ?? 20;
    const [now, from] = [current(), State.inputChannel];
    cols.forEach((index, i) => {
      const chosen = colName === "x" && index === from;
      if (i % every(w, 30) === 0 || chosen)
        pen.text(
          colName ? `x[${index}]` : String(index),
          left + (i + 0.5) * w,
          top - 12,
          { size: 11, weight: chosen ? 700 : 400, fill: chosen ? accent : quiet },
        );
    });
    rows.forEach((index, i) => {
      const chosen = index === (rowName === "y" ? now : from);
      if (i % every(h, 15) === 0 || chosen)
        pen.text(`${rowName}[${index}]`, left - 8, top + (i + 0.5) * h, {
          size: 11,
          weight: chosen ? 700 : 400,
          fill: chosen ? accent : quiet,
          align: "right",
        });
    });
  }

  /** The kernel between two channels, in small. */
  function tile(pen, model, { x, y, w, h }, output, input) {
    const { layer, weight } = model;
    const k = layer.kernel_size;
    const index = (tap) => Geometry.weightIndex(layer, output, input, tap);
    const inset = w >= 16 ? 3 : 1;
    pen.rect(x + 1, y + 1, w - 2, h - 2, { fill: Cells.palette.surface, radius: 3 });
    const across = k[k.length - 1];
    const depth = k.length === 3 ? k[0] : 1;
    const down = k.length > 1 ? k[k.length - 2] : 1;
    const gap = depth > 1 ? Math.max(1, w * 0.03) : 0;
    const cw = (w - 2 * inset - gap * (depth - 1)) / (across * depth);
    const ch = (h - 2 * inset) / down;
    if (cw < 1.2 || ch < 1.2) {
      const taps = Geometry.product(k.map((count) => Geometry.range(0, count)));
      const values = taps.map((tap) => Math.abs(weight.at(index(tap))) || 0);
      const { fill } = Cells.shade(
        values.reduce((a, b) => a + b, 0) / values.length,
        weight.largest,
      );
      pen.rect(x + inset, y + inset, w - 2 * inset, h - 2 * inset, { fill });
      return;
    }
    for (const tap of Geometry.product(k.map((count) => Geometry.range(0, count)))) {
      const [d, r, c] = [
        k.length === 3 ? tap[0] : 0,
        k.length > 1 ? tap[k.length - 2] : 0,
        tap[k.length - 1],
      ];
      const box = {
        x: x + inset + (d * across + c) * cw + d * gap,
        y: y + inset + r * ch,
        w: cw,
        h: ch,
      };
      Cells.drawCell(pen, box, weight.at(index(tap)), weight.largest);
    }
  }

  /** No weight joins these two channels. */
  function absent(pen, { x, y, w, h }) {
    pen.rect(x + w / 2 - 1.5, y + h / 2 - 1.5, 3, 3, {
      fill: Cells.palette.line,
      radius: 1.5,
    });
  }

  /** The groups' blocks, and the row and tile in use. */
  function frame(pen, layer, { outputs, inputs, left, top, w, h }) {
    const { faint, accent } = Cells.palette;
    const [perOut, perIn] = [
      layer.out_channels / layer.groups,
      layer.in_channels / layer.groups,
    ];
    for (let group = 0; group < layer.groups; group++) {
      const rows = outputs.filter((one) => Math.floor(one / perOut) === group);
      const cols = inputs.filter((one) => Math.floor(one / perIn) === group);
      if (!rows.length || !cols.length) continue;
      pen.rect(
        left + inputs.indexOf(cols[0]) * w,
        top + outputs.indexOf(rows[0]) * h,
        cols.length * w,
        rows.length * h,
        { stroke: faint, width: 1.25, radius: 4 },
      );
    }
    const [now, from] = [current(), State.inputChannel];
    for (const one of tiles) {
      if (one.output !== now || one.input !== from || !Geometry.joins(layer, now, from))
        continue;
      pen.rect(one.x, one.y, one.w, one.h, { stroke: accent, width: 2.5, radius: 4 });
    }
  }

  return { start };
})();
