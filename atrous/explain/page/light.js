/* The layer that moves: the window, the cells that meet, where a border comes from. */
const Light = (() => {
  const FEW = 4; // more arrows in a grid would hide what they explain

  /** For each grid the boxes of its lit cells: {grid, cells: [{box, index}], frame}. */
  function lit(state, scene, meeting, side) {
    const found = [];
    for (const grid of scene.grids) {
      if (grid.side !== side) continue;
      const cells = [];
      meeting.cells.forEach((one, index) => {
        const box = one.channel === grid.channel ? grid.box(one.place) : null;
        if (box) cells.push({ box, index });
      });
      if (!cells.length) continue;
      const frame =
        grid.isSpread && side === "input"
          ? grid.reach(state.model.layer, state.cursor.position)
          : around(cells.map((one) => one.box));
      found.push({ grid, cells, frame });
    }
    return found;
  }

  function around(boxes) {
    const x = Math.min(...boxes.map((box) => box.x));
    const y = Math.min(...boxes.map((box) => box.y));
    return {
      x,
      y,
      w: Math.max(...boxes.map((box) => box.x + box.w)) - x,
      h: Math.max(...boxes.map((box) => box.y + box.h)) - y,
    };
  }

  const centre = (box) => [box.x + box.w / 2, box.y + box.h / 2];

  /** Grids that have no part in the sum step back. */
  function veil(pen, state, scene) {
    const { layer } = state.model;
    const { side, channel } = state.cursor;
    const taking =
      side === "output"
        ? Geometry.sees(layer, channel)
        : Geometry.reaches(layer, channel);
    for (const grid of scene.grids) {
      if (grid.side === "weight" || scene.volume) continue;
      const involved =
        grid.side === side
          ? grid.channel === channel || side === "output"
          : taking.includes(grid.channel);
      if (involved) continue;
      pen.rect(grid.x - 1, grid.y - 1, grid.width + 2, grid.height + 2, {
        fill: Cells.palette.surface,
        alpha: 0.68,
      });
    }
  }

  function ring(pen, box, colour, width, alpha = 1) {
    const { x, y, w, h } = box;
    const radius = w >= 18 ? 3 : 0;
    if (w >= 7)
      pen.rect(x - 0.5, y - 0.5, w + 1, h + 1, {
        stroke: Cells.palette.surface,
        width: width + 2,
        radius,
        alpha,
      });
    pen.rect(x, y, w, h, { stroke: colour, width, radius, alpha });
  }

  /** An arrow from a border cell to the cell that it repeats; above a strip's cells. */
  function arrow(pen, from, to, { strip = false, alpha = 1 } = {}) {
    const stroke = Cells.palette.accent;
    let [[x1, y1], [x2, y2]] = [centre(from), centre(to)];
    if (strip) [y1, y2] = [from.y - 3, to.y - 3];
    const [dx, dy] = [x2 - x1, y2 - y1];
    const far = Math.hypot(dx, dy);
    if (far < 2) return;
    if (!strip) {
      // From rim to rim: the numbers in the middle of the cells stay free.
      const [ux, uy] = [(dx / far) * from.w * 0.32, (dy / far) * from.h * 0.32];
      [x1, y1, x2, y2] = [x1 + ux, y1 + uy, x2 - ux, y2 - uy];
    }
    const bend = strip ? Math.min(15, far * 0.25) : Math.min(26, far * 0.3);
    // Strips bend upwards, out of the way; planes to the left of the arrow's way.
    const [nx, ny] = dy === 0 ? [0, -1] : [dy / far, -dx / far];
    const [cx, cy] = [(x1 + x2) / 2 + nx * bend * 1.3, (y1 + y2) / 2 + ny * bend * 1.3];
    const [ax, ay, bx, by] = strip ? [x1, cy, x2, cy] : [cx, cy, cx, cy];
    pen.line([x1, y1, ax, ay, bx, by, x2, y2], {
      stroke,
      width: 1.5,
      curve: true,
      alpha,
    });
    const angle = Math.atan2(y2 - by, x2 - bx);
    const head = (turn) => [
      x2 - 6 * Math.cos(angle + turn),
      y2 - 6 * Math.sin(angle + turn),
    ];
    pen.line([...head(0.5), x2, y2, ...head(-0.5)], { stroke, width: 1.5, alpha });
    pen.rect(x1 - 2, y1 - 2, 4, 4, { fill: stroke, radius: 2, alpha });
  }

  /** Arrows of the window's border cells. In a sum that is being worked only the cell in
   * question has one. */
  function arrows(pen, state, found, meeting) {
    const { size } = state.model;
    for (const { grid, cells } of found) {
      if (grid.w < 8) continue;
      const met = cells.map(({ index }) => ({ ...meeting.terms[index], index }));
      const shown =
        state.product === null
          ? leading(met, size)
          : met.filter((one) => one.index === state.product && beyond(one, size));
      const alpha = shown.length > 4 ? 0.6 : 1;
      for (const { position, source } of shown) {
        const [from, to] = [grid.box(position), source && grid.box(source)];
        if (from && to) arrow(pen, from, to, { strip: grid.rows.axis === null, alpha });
      }
    }
  }

  /** Along how many axes a pair's position lies outside the input. */
  const beyond = ({ position }, size) =>
    position.filter((one, axis) => one < 0 || one >= size[axis]).length;

  /** Border cells that have an arrow: all of a few; of more, those whose arrows do not
   * cross, first without the corners, then in line with one cell of the input. */
  function leading(met, size) {
    const ghosts = met.filter((one) => one.source && beyond(one, size));
    if (ghosts.length <= FEW) return ghosts;
    const edges = ghosts.filter((one) => beyond(one, size) === 1);
    const inside = met.filter((one) => !beyond(one, size));
    if (edges.length <= FEW || !inside.length) return edges.slice(0, FEW);
    const middle = inside[Math.floor(inside.length / 2)].position;
    const inLine = ({ position }) =>
      position.filter((one, axis) => one !== middle[axis]).length === 1;
    return edges.filter(inLine);
  }

  /** The cross-hair of linked planes: where the other two planes cut this one. */
  function crossHair(pen, scene) {
    for (const grid of scene.grids) {
      if (!grid.cross) continue;
      const box = grid.box(grid.cross);
      if (!box) continue;
      const { accent } = Cells.palette;
      const [x, y] = centre(box);
      const [right, below] = [grid.x + grid.width, grid.y + grid.height];
      // Over cells that bear numbers or a minus the lines are faint; their ends are not.
      const within = {
        stroke: accent,
        width: 1,
        alpha: grid.w >= Cells.SMALL ? 0.35 : 0.9,
        dash: [4, 3],
      };
      const end = { stroke: accent, width: 2 };
      pen.line([x, grid.y, x, box.y], within);
      pen.line([x, box.y + box.h, x, below], within);
      pen.line([grid.x, y, box.x, y], within);
      pen.line([box.x + box.w, y, right, y], within);
      for (const line of [
        [x, grid.y - 4, x, grid.y - 1],
        [x, below + 1, x, below + 6],
        [grid.x - 5, y, grid.x - 1, y],
        [right + 1, y, right + 5, y],
      ]) {
        pen.line(line, end);
      }
    }
  }

  /** Strips: the weights stand below the cells they meet, and the sum runs together. */
  function slidingKernel(pen, state, scene, found, meeting) {
    const { model, cursor, product } = state;
    const below = cursor.side === "output";
    const { largest, integers } = model.weight;
    const type = Cells.type(largest, integers, found[0]?.grid.w ?? 0, scene.lane);
    for (const { grid, cells } of found) {
      for (const { box, index } of cells) {
        const y = below ? box.y + box.h + 4 : box.y - scene.lane - 4;
        const place = { x: box.x, y, w: box.w, h: scene.lane };
        const now = product === index && below;
        pen.rect(place.x, place.y, place.w, place.h, { fill: Cells.palette.surface });
        Cells.drawCell(pen, place, meeting.terms[index].w, model.weight.largest, {
          type,
        });
        pen.rect(place.x + 0.5, place.y + 0.5, place.w - 1, place.h - 1, {
          stroke: now ? Cells.palette.accent : Cells.palette.quiet,
          width: now ? 2.5 : 1,
          radius: 3,
        });
      }
      const [first] = cells;
      const y = below
        ? first.box.y + first.box.h + 4 + scene.lane / 2
        : first.box.y - 4 - scene.lane / 2;
      const title = below ? "× w" : "w";
      if (grid.titleAt)
        pen.text(title, grid.titleAt[0], y, {
          size: 12,
          fill: Cells.palette.quiet,
          align: "right",
        });
    }
  }

  function funnel(pen, state, scene, found, frames) {
    const target = scene.grids.find(
      (grid) =>
        grid.side === state.cursor.side && grid.channel === state.cursor.channel,
    );
    const cell = target?.box(state.cursor.position);
    if (!cell || !found.length) return;
    const down = state.cursor.side === "output";
    const style = { fill: Cells.palette.accent, alpha: 0.07 };
    const edge = { stroke: Cells.palette.accent, width: 1, alpha: 0.45 };
    const frameOf = (one) => frames.get(one.grid.id) ?? one.frame;
    const wide = frameOf(down ? found[found.length - 1] : found[0]);
    const y1 = down ? wide.y + wide.h + 4 + scene.lane + 2 : wide.y - 6 - scene.lane;
    const y2 = down ? cell.y - 2 : cell.y + cell.h + 2;
    const [a, b, c, d] = [wide.x, wide.x + wide.w, cell.x + cell.w, cell.x];
    pen.line([a, y1, b, y1, c, y2, d, y2], style);
    pen.line([a, y1, d, y2], edge);
    pen.line([b, y1, c, y2], edge);
  }

  /** Planes: each channel's part of the sum beside its kernel, led to the output. */
  function subtotals(pen, state, scene, meeting) {
    if (!scene.subtotals || scene.stacked || state.cursor.side !== "output") return;
    const { ink, quiet, accent } = Cells.palette;
    const terms =
      state.product === null
        ? meeting.terms
        : meeting.terms.slice(0, state.product + 1);
    const parts = scene.subtotals.map((one) => ({
      ...one,
      sum: terms
        .filter((term) => term.channel === one.channel)
        .reduce((sum, term) => sum + term.product, 0),
    }));
    const places = Numbers.decimals(parts.map((one) => one.sum));
    const grid = scene.grids.find(
      (one) => one.side === "output" && one.channel === state.cursor.channel,
    );
    const cell = grid?.box(state.cursor.position);
    for (const { x, y, sum } of parts) {
      const text = Numbers.write(sum, places);
      pen.text("Σ", x, y, { size: 13, fill: quiet, align: "left" });
      pen.text(text, x + 14, y, { size: 13, weight: 600, fill: ink, align: "left" });
      if (!cell) continue;
      const from = x + 20 + Pen.widthOf(text, 13, 600);
      const to = grid.x - 6;
      if (to - from < 12) continue;
      const aim = Scene.clamp(cell.y + cell.h / 2, grid.y, grid.y + grid.height);
      const bend = (from + to) / 2;
      pen.line([from, y, bend, y, bend, aim, to, aim], {
        stroke: accent,
        width: 1.25,
        curve: true,
        alpha: 0.6,
      });
    }
  }

  /** Which weights take part: the others are crossed out by a veil. */
  function weights(pen, state, scene, meeting) {
    const shown = new Set(
      scene.grids.filter((grid) => grid.side === "weight").map((grid) => grid.channel),
    );
    const from = state.cursor.side === "output" ? null : state.cursor.channel;
    const used = new Map();
    meeting.terms.forEach((one, index) => {
      if (shown.has(from ?? one.channel)) used.set(one.weight.join(), index);
    });
    for (const grid of scene.grids) {
      if (grid.side !== "weight") continue;
      for (let row = 0; row < grid.rows.count; row++) {
        for (let col = 0; col < grid.cols.count; col++) {
          const tap = grid.position(row, col);
          const index = used.get(weightKey(state.model.layer, grid, tap));
          const box = grid.box(tap);
          if (index === undefined)
            pen.rect(box.x, box.y, box.w, box.h, {
              fill: Cells.palette.surface,
              alpha: 0.62,
            });
          else if (index === state.product) ring(pen, box, Cells.palette.accent, 2.5);
        }
      }
    }
  }

  const weightKey = (layer, grid, tap) =>
    Geometry.weightIndex(layer, grid.output, grid.channel, tap).join();

  /** All of it. `frames` says where the windows stand now, on their way to their place. */
  function draw(pen, state, scene, meeting, found, frames) {
    const { cursor, product } = state;
    const { ink, accent } = Cells.palette;
    veil(pen, state, scene);
    if (scene.volume) crossHair(pen, scene);
    weights(pen, state, scene, meeting);
    const strips = Boolean(scene.lane);
    if (strips) funnel(pen, state, scene, found, frames);
    for (const { grid, cells } of found) {
      for (const { box, index } of cells) {
        const later = cursor.side === "output" && product !== null && index > product;
        if (grid.w >= 7)
          pen.rect(box.x + 0.75, box.y + 0.75, box.w - 1.5, box.h - 1.5, {
            stroke: ink,
            width: 1.5,
            radius: box.w >= 18 ? 3 : 0,
            alpha: later ? 0.25 : 0.9,
          });
        else
          pen.rect(box.x, box.y, box.w, box.h, {
            fill: accent,
            alpha: later ? 0.15 : 0.35,
          });
      }
    }
    if (strips) slidingKernel(pen, state, scene, found, meeting);
    arrows(pen, state, found, meeting);
    if (cursor.ghost) hoveredGhost(pen, scene, cursor);
    for (const { cells } of found) {
      const now =
        cursor.side === "output" && cells.find((one) => one.index === product);
      if (now) ring(pen, now.box, accent, 2.5);
    }
    for (const { grid, frame } of found) {
      const place = frames.get(grid.id) ?? frame;
      pen.rect(place.x - 2, place.y - 2, place.w + 4, place.h + 4, {
        stroke: accent,
        width: 2,
        radius: 4,
      });
    }
    for (const grid of scene.grids) {
      const box =
        grid.side === cursor.side &&
        grid.channel === cursor.channel &&
        grid.box(cursor.position);
      if (box) ring(pen, box, accent, grid.w >= 18 ? 3 : 2);
    }
    subtotals(pen, state, scene, meeting);
  }

  function hoveredGhost(pen, scene, cursor) {
    for (const grid of scene.grids) {
      if (grid.side !== "input" || grid.channel !== cursor.channel) continue;
      const [from, to] = [grid.box(cursor.ghost), grid.box(cursor.position)];
      if (from && to) arrow(pen, from, to, { strip: grid.rows.axis === null });
    }
  }

  return { lit, draw, weightKey };
})();
