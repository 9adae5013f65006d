/* The stage: two canvases, one above the other, and the pointer over them. */
const Stage = (() => {
  const TRAVEL = 150; // milliseconds that a window takes to its next place
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let holder, still, moving, scene, keys, meeting, found;
  let frames = new Map(); // where each grid's window is drawn now
  let journey = null;

  function start() {
    holder = document.getElementById("stage");
    still = document.getElementById("still");
    moving = document.getElementById("moving");
    holder.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse" || !State.pinned) pointAt(event);
    });
    holder.addEventListener("pointerdown", (event) => {
      holder.focus({ preventScroll: true });
      const before = JSON.stringify(State.cursor);
      if (!pointAt(event) || event.pointerType !== "mouse") return;
      const again = State.pinned && before === JSON.stringify(State.cursor);
      State.pin(!again);
    });
    whenWidthChanges(holder, redraw);
    State.on("setting", redraw);
    State.on("look", redraw);
    State.on("cursor", follow);
  }

  /** Act when an element's width has changed; in the next frame, since what is drawn
   * changes heights, and an observer that causes what it observes is an error. */
  function whenWidthChanges(element, act) {
    let width = 0;
    new ResizeObserver(() => {
      if (element.clientWidth === width) return;
      width = element.clientWidth;
      requestAnimationFrame(act);
    }).observe(element);
  }

  function fit(canvas, width, height) {
    const sharp = Math.min(3, window.devicePixelRatio || 1);
    canvas.width = Math.round(width * sharp);
    canvas.height = Math.round(height * sharp);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.getContext("2d").setTransform(sharp, 0, 0, sharp, 0, 0);
  }

  const pen = (canvas) => new Pen.CanvasPen(canvas.getContext("2d"));

  /** Everything anew: another setting, size, language or light. */
  function redraw() {
    const width = Math.max(280, holder.clientWidth);
    scene = Scene.layout(State, width);
    holder.style.height = `${scene.height}px`;
    holder.classList.toggle("stale", Boolean(State.fault));
    fit(still, width, scene.height);
    fit(moving, width, scene.height);
    Draw.base(pen(still), State, scene);
    keys = new Map(scene.grids.map((grid) => [grid.id, Draw.keyOf(grid)]));
    frames = new Map();
    settle();
    tellPart();
  }

  /** The cursor moved: only grids that show something else are drawn anew. */
  function follow() {
    const next = Scene.layout(State, Math.max(280, holder.clientWidth));
    const sameGrids =
      next.grids.length === scene.grids.length &&
      next.height === scene.height &&
      next.grids.every((grid) => keys.has(grid.id));
    if (!sameGrids) {
      redraw();
      return;
    }
    scene = next;
    Draw.base(pen(still), State, scene, keys);
    keys = new Map(scene.grids.map((grid) => [grid.id, Draw.keyOf(grid)]));
    settle();
  }

  /** Find what is lit, and send the windows on their way. */
  function settle() {
    meeting = Draw.meeting(State);
    found = Light.lit(
      State,
      scene,
      meeting,
      State.cursor.side === "output" ? "input" : "output",
    );
    const goals = new Map(found.map((one) => [one.grid.id, one.frame]));
    const from = new Map([...goals].map(([id, goal]) => [id, frames.get(id) ?? goal]));
    const still =
      calm.matches || [...goals].every(([id, goal]) => sameBox(goal, from.get(id)));
    journey = still ? null : { from, goals, begin: performance.now() };
    frames = still ? goals : from;
    if (!journey) light();
    else travelSoon();
    describe();
  }

  const sameBox = (a, b) => a.x === b.x && a.y === b.y && a.w === b.w && a.h === b.h;

  let waiting = false;
  function travel(now) {
    waiting = false;
    if (!journey) return;
    const share = Math.min(1, Math.max(0, (now - journey.begin) / TRAVEL));
    const eased = 1 - (1 - share) ** 3;
    const between = (a, b) => a + (b - a) * eased;
    frames = new Map(
      [...journey.goals].map(([id, goal]) => {
        const from = journey.from.get(id);
        return [
          id,
          {
            x: between(from.x, goal.x),
            y: between(from.y, goal.y),
            w: between(from.w, goal.w),
            h: between(from.h, goal.h),
          },
        ];
      }),
    );
    light();
    if (share === 1) journey = null;
    else travelSoon();
  }

  function travelSoon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(travel);
  }

  function light() {
    const brush = pen(moving);
    brush.clear(0, 0, scene.width, scene.height);
    Light.draw(brush, State, scene, meeting, found, frames);
  }

  /** The cell under the pointer; a border cell stands for the one it repeats. */
  function pointAt(event) {
    const { left, top } = holder.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    for (const grid of scene.grids) {
      const place = grid.at(x, y);
      if (place) return choose(grid, place);
    }
    return false;
  }

  function choose(grid, place) {
    const { model, cursor } = State;
    if (grid.side === "weight") {
      const wanted = Light.weightKey(model.layer, grid, place);
      const index = meeting.terms.findIndex((one) => one.weight.join() === wanted);
      if (index >= 0 && cursor.side === "output" && State.product !== index)
        State.show(index);
      return false;
    }
    let ghost = null;
    if (grid.side === "input") {
      const source = place.map((one, axis) =>
        Geometry.source(one, model.size[axis], model.layer.padding_mode),
      );
      if (source.includes(-1)) return false; // a zero comes from nowhere
      ghost = source.every((one, axis) => one === place[axis]) ? null : place;
      place = source;
    }
    const next = JSON.stringify([grid.side, grid.channel, place, ghost]);
    if (
      next !==
      JSON.stringify([cursor.side, cursor.channel, cursor.position, cursor.ghost])
    ) {
      State.point({ side: grid.side, channel: grid.channel, position: place, ghost });
    }
    return true;
  }

  /** Say the cell aloud for those who do not see the picture. */
  function describe() {
    const { cursor, model } = State;
    const index = [cursor.channel, ...cursor.position].join(", ");
    const value =
      cursor.side === "output"
        ? model.output(cursor.channel, cursor.position)
        : model.input.at([cursor.channel, ...cursor.position]);
    const words = Words.say(`speak.${cursor.side}`, {
      index,
      value: Numbers.write(value),
      count: meeting.terms.length,
    });
    holder.setAttribute("aria-label", words);
    // Spoken only where keys move the cell: a pointer would talk without end.
    if (holder.matches(":focus-visible"))
      document.getElementById("spoken").textContent = words;
  }

  function tellPart() {
    const note = document.getElementById("part");
    const spread = scene.grids.some((grid) => grid.side === "input" && grid.isSpread);
    document.getElementById("inserted").hidden = !spread;
    const { model } = State;
    const held = [model.input, model.weight].every((tensor) => tensor.complete);
    const parts = [];
    for (const [side, letter, list, all] of [
      ["inputs", "x", scene.inputs, model.layer.in_channels],
      ["outputs", "y", scene.outputs, model.layer.out_channels],
    ]) {
      if (list.length < all)
        parts.push(Words.say(`part.${side}`, { shown: span(letter, list), all }));
    }
    if (scene.cut) parts.push(Words.say("part.cut"));
    parts.push(...unread(model));
    const names = { input: "view.input", weight: "sizes.weight", bias: "work.bias" };
    if (model.madeUp.length)
      parts.push(
        Words.say("part.example", {
          names: model.madeUp.map((one) => Words.say(names[one])).join(", "),
        }),
      );
    if (!held)
      parts.push(
        Words.say("part.held", {
          held: model.weight.part.join(" × "),
          whole: model.weight.whole.join(" × "),
        }),
      );
    note.textContent = parts.join(" ");
    note.hidden = !parts.length;
  }

  /** Where no output reads, in words: the pictures hatch it. */
  function unread({ layer, size }) {
    const names = Geometry.axisNames(layer.rank);
    return size.flatMap((cells, axis) => {
      if (cells > 1024) return [];
      const skipped = Geometry.range(0, cells).filter(
        (place) => !Geometry.isRead(layer, axis, place, cells),
      );
      if (!skipped.length) return [];
      const list = skipped.slice(0, 8).join(", ") + (skipped.length > 8 ? " …" : "");
      return [
        Words.say("part.unread", { axis: Words.say(`axis.${names[axis]}`), list }),
      ];
    });
  }

  /** x[2], or x[0]–x[3]. */
  const span = (letter, list) =>
    [...new Set([list[0], list[list.length - 1]])]
      .map((channel) => `${letter}[${channel}]`)
      .join("–");

  /** The picture by another pen, at rest. */
  function drawBy(other) {
    Draw.base(other, State, scene);
    Light.draw(other, State, scene, meeting, found, new Map());
    return { width: scene.width, height: scene.height };
  }

  return {
    start,
    redraw,
    whenWidthChanges,
    drawBy,
    get meeting() {
      return meeting;
    },
    get scene() {
      return scene;
    },
  };
})();
