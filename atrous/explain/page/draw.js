/* Draws a scene in two layers: the numbers, which stand, and the light that moves. */
const Draw = (() => {
  const TITLE_SIZE = 12;

  /** The value of a grid's cell, and how it is to look. */
  function look(model, grid, place) {
    if (grid.side === "weight") {
      return {
        value: model.weight.at(
          Geometry.weightIndex(model.layer, grid.output, grid.channel, place),
        ),
      };
    }
    if (grid.side === "output") return { value: model.glance(grid.channel, place) };
    const { layer, size } = model;
    const ghost = place.some((one, axis) => one < 0 || one >= size[axis]);
    if (!ghost) return { value: model.input.at([grid.channel, ...place]), ghost };
    const source = place.map((one, axis) =>
      Geometry.source(one, size[axis], layer.padding_mode),
    );
    return {
      value: source.includes(-1) ? 0 : model.input.at([grid.channel, ...source]),
      ghost,
    };
  }

  const scaleOf = (model, side) =>
    side === "input"
      ? model.input.largest
      : side === "weight"
        ? model.weight.largest
        : model.largestOutput;

  /** For each axis of the input, the shown positions that no output reads. */
  function unreadOf(model) {
    return model.size.map((cells, axis) => {
      const known = new Map();
      return (place) => {
        if (place < 0 || place >= cells) return false;
        if (!known.has(place))
          known.set(place, !Geometry.isRead(model.layer, axis, place, cells));
        return known.get(place);
      };
    });
  }

  function drawGrid(pen, model, grid, unread) {
    const cells = [];
    for (let row = 0; row < grid.rows.count; row++) {
      for (let col = 0; col < grid.cols.count; col++) {
        const place = grid.position(row, col);
        const cell = look(model, grid, place);
        cell.place = place;
        cell.unread =
          grid.side === "input" &&
          !cell.ghost &&
          place.some((one, axis) => unread[axis](one));
        cells.push(cell);
      }
    }
    const largest = scaleOf(model, grid.side);
    const most = cells.reduce(
      (sum, one) => Math.max(sum, Math.abs(one.value) || 0),
      largest,
    );
    const type = Cells.type(
      most,
      model[grid.side].integers ?? model.integers,
      grid.w,
      grid.h,
    );
    if (grid.w < Cells.SMALL && !grid.isSpread)
      Cells.drawMosaic(pen, grid, cells, largest);
    else
      for (const { place, value, ghost, unread } of cells)
        Cells.drawCell(pen, grid.box(place), value, largest, { type, ghost, unread });
    const { quiet } = Cells.palette;
    if (grid.isSpread && grid.side === "input") {
      for (const [x, y] of grid.zeros())
        pen.rect(x - 1.5, y - 1.5, 3, 3, { fill: Cells.palette.faint, radius: 1.5 });
    }
    if (grid.titleAt) {
      pen.text(grid.title, grid.titleAt[0], grid.titleAt[1], {
        size: TITLE_SIZE,
        fill: quiet,
        align: "right",
      });
      return;
    }
    const size = grid.slice ? 11 : TITLE_SIZE;
    const title = [grid.title, grid.short].find(
      (words) => words && Pen.widthOf(words, size) <= grid.width + 10,
    );
    if (title)
      pen.text(title, grid.x + 1, grid.y - 10, { size, fill: quiet, align: "left" });
  }

  function drawHeadings(pen, scene) {
    for (const { key, x, y, shape } of scene.headings) {
      const { ink, quiet } = Cells.palette;
      const words = Words.say(key);
      pen.text(words, x, y, { size: 13, weight: 600, fill: ink, align: "left" });
      const beside = x + Pen.widthOf(words, 13, 600) + 10;
      const sizes = shape?.join(" × ");
      if (shape && beside + Pen.widthOf(sizes, 12) <= scene.width)
        pen.text(sizes, beside, y, { size: 12, fill: quiet, align: "left" });
    }
  }

  /** The layer that stands. With `before`, only grids that show something else. */
  function base(pen, state, scene, before = null) {
    const unread = unreadOf(state.model);
    for (const grid of scene.grids) {
      if (before?.get(grid.id) === keyOf(grid)) continue;
      if (before)
        pen.clear(
          grid.x - 2,
          grid.y - Scene.TITLE + 2,
          Math.max(grid.width, 90) + 4,
          grid.height + Scene.TITLE,
        );
      drawGrid(pen, state.model, grid, unread);
    }
    if (!before) drawHeadings(pen, scene);
  }

  /** What a grid shows, as text: equal keys need no new drawing. */
  const keyOf = (grid) =>
    [
      grid.side,
      grid.channel,
      grid.output,
      grid.x,
      grid.y,
      grid.w,
      grid.title,
      grid.rows.first,
      grid.rows.count,
      grid.cols.first,
      grid.cols.count,
      ...grid.fixed.map((one) => one.value),
    ].join();

  /** What the cursor is about: pairs that meet, and the cells they stand on. */
  function meeting(state) {
    const { model, cursor } = state;
    if (cursor.side === "output") {
      const terms = model.terms(cursor.channel, cursor.position);
      return {
        terms,
        cells: terms.map((one) => ({
          side: "input",
          channel: one.channel,
          place: one.position,
        })),
      };
    }
    const terms = Geometry.touches(
      model.layer,
      model.size,
      cursor.channel,
      cursor.position,
    ).map((touch) => {
      const [x, w] = [
        model.input.at([cursor.channel, ...cursor.position]),
        model.weight.at(touch.weight),
      ];
      return { ...touch, x, w, product: x * w };
    });
    return {
      terms,
      cells: terms.map((one) => ({
        side: "output",
        channel: one.channel,
        place: one.position,
      })),
    };
  }

  return { base, keyOf, meeting };
})();
