/* Where everything stands: grids of cells, for strips and for planes.
 * A grid shows two axes of a tensor (strips show one) and fixes the others. */
const Scene = (() => {
  const TITLE = 22;

  /** Cells of one channel: `rows` and `cols` say {axis, first, count}. `spread` says how
   * many steps apart cells stand: a transposed convolution puts zeros between them. */
  class Grid {
    constructor(fields) {
      Object.assign(this, { fixed: [], unit: fields.w, spread: [1, 1] }, fields);
      this.pitch = this.unit * this.spread[1];
      this.pitchDown = this.h * this.spread[0];
      this.width = (this.cols.count - 1) * this.pitch + this.w;
      this.height = (this.rows.count - 1) * this.pitchDown + this.h;
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
      if (row < 0 || row >= this.rows.count || col < 0 || col >= this.cols.count)
        return null;
      return {
        x: this.x + col * this.pitch,
        y: this.y + row * this.pitchDown,
        w: this.w,
        h: this.h,
      };
    }

    /** The position under a point, or null. */
    at(x, y) {
      const col = Math.floor((x - this.x) / this.pitch);
      const row = Math.floor((y - this.y) / this.pitchDown);
      const inside =
        row >= 0 && row < this.rows.count && col >= 0 && col < this.cols.count;
      const between =
        x - this.x - col * this.pitch > this.w ||
        y - this.y - row * this.pitchDown > this.h;
      return inside && !between ? this.position(row, col) : null;
    }

    /** Middles of the zeros that stand between the cells. */
    zeros() {
      const found = [];
      const [down, across] = this.spread;
      for (let row = 0; row <= (this.rows.count - 1) * down; row++) {
        for (let col = 0; col <= (this.cols.count - 1) * across; col++) {
          if (row % down || col % across)
            found.push([
              this.x + col * this.unit + this.w / 2,
              this.y + row * this.h + this.h / 2,
            ]);
        }
      }
      return found;
    }

    /** The stretch that the whole kernel covers here, zeros included, about an output. */
    reach(layer, place) {
      const along = ({ axis, first, count }, spread, unit, cell) => {
        if (axis === null) return [0, cell];
        const last = place[axis] + Geometry.border(layer, axis)[0] - first * spread;
        const from = Math.max(0, last - Geometry.span(layer, axis) + 1);
        const to = Math.min((count - 1) * spread, last);
        return [from * unit, (to - from) * unit + cell];
      };
      const [x, w] = along(this.cols, this.spread[1], this.unit, this.w);
      const [y, h] = along(this.rows, this.spread[0], this.h, this.h);
      return { x: this.x + x, y: this.y + y, w, h };
    }

    get isSpread() {
      return this.spread.some((step) => step > 1);
    }
  }

  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  const firsts = new Map(); // where partly shown axes begin, so that a view stays put

  /** Of [low, high) at most `most` cells, moved as little as shows [from, to). */
  function part(key, [low, high], most, [from, to]) {
    if (high - low <= most) return { first: low, count: high - low, whole: true };
    let first = clamp(firsts.get(key) ?? low, low, high - most);
    if (from < first) first = clamp(from - 1, low, high - most);
    else if (to > first + most)
      first = clamp(Math.min(to - most + 1, from), low, high - most);
    firsts.set(key, first);
    return { first, count: most, whole: false };
  }

  /** The stretch of each axis that the cursor is about, in the input and the output. */
  function focus({ model, cursor }) {
    const { layer, size } = model;
    const ends = (values, or) =>
      values.length ? [Math.min(...values), Math.max(...values) + 1] : or;
    const here = cursor.position.map((place) => [place, place + 1]);
    const cellsOf = (list, key) =>
      here.map((own, axis) =>
        ends(
          list.map((one) => one[key][axis]),
          own,
        ),
      );
    if (cursor.side === "output") {
      return {
        output: here,
        input: cellsOf(Geometry.window(layer, size, cursor.position), "position"),
      };
    }
    const single = { ...layer, groups: 1, in_channels: 1, out_channels: 1 };
    const touched = Geometry.touches(single, size, 0, cursor.position);
    const none = here.map(() => [0, 1]);
    return {
      input: here,
      output: touched.length ? cellsOf(touched, "position") : none,
    };
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
      ? {
          output: [channel, channel + 1],
          input: reach(Geometry.sees(layer, channel)),
          kernel: channel,
        }
      : {
          input: [channel, channel + 1],
          output: reach(Geometry.reaches(layer, channel)),
          kernel: Geometry.reaches(layer, inputChannel)[0],
        };
  }

  const weightTitle = (layer, output, input) =>
    layer.transposed
      ? `w[${input}, ${output % (layer.out_channels / layer.groups)}]`
      : `w[${output}, ${input % (layer.in_channels / layer.groups)}]`;

  /** The picture of a state on a page of some width: the view for its number of axes. */
  function layout(state, width) {
    const view = [Strips, Planes, Volume][state.model.layer.rank - 1];
    return view.layout(state, width);
  }

  return {
    Grid,
    TITLE,
    clamp,
    part,
    focus,
    focusChannels,
    channels,
    weightTitle,
    layout,
  };
})();
