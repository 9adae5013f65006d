/* Colours and single cells. A sign is never told by colour alone: a number carries its
 * minus, a cell too small for a number a bar. */
const Cells = (() => {
  const STEPS = 48;
  let palette = {};

  const SMALL = 9; // pixels; smaller cells are set as points of an image, not drawn

  const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const mix = (a, b, share) =>
    `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(",")})`;
  const bright = (rgb) =>
    rgb.match(/\d+/g).reduce((sum, value, i) => sum + value * [0.3, 0.59, 0.11][i], 0);

  /** Take the colours from the style sheet, where light and dark are decided. */
  function readPalette() {
    const style = getComputedStyle(document.documentElement);
    const names = [
      "page",
      "surface",
      "ink",
      "quiet",
      "faint",
      "line",
      "accent",
      "negative",
      "positive",
      "zero",
      "ghost",
    ];
    palette = Object.fromEntries(
      names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
    );
    const [zero, dark] = [parse(palette.zero), "#14171c"];
    const scale = (end) =>
      Array.from({ length: STEPS + 1 }, (_, i) => {
        const fill = mix(zero, parse(palette[end]), (i / STEPS) ** 0.85);
        const rgb = fill.match(/\d+/g).map(Number);
        const ghost = mix(parse(palette.ghost), rgb, 0.3);
        const ink = bright(fill) > 135 ? dark : "#ffffff";
        return { fill, ghost, ink, bar: mix(rgb, parse(ink), 0.4) };
      });
    palette.scales = { negative: scale("negative"), positive: scale("positive") };
  }

  /** The fill and ink of a value, on a scale that ends at `largest`. */
  function shade(value, largest) {
    const share = Math.min(1, Math.abs(value) / largest);
    return palette.scales[value < 0 ? "negative" : "positive"][
      Math.round(share * STEPS) || 0
    ];
  }

  /** Decimals and size of type with which numbers up to `largest` fit a cell, or null.
   * It follows from the tensor, not from the values in sight: all its grids look alike. */
  function type(largest, whole, w, h) {
    if (w < 15 || h < 14) return null;
    const most = whole ? 0 : Numbers.decimals([largest + 0.5]);
    for (let places = most; places >= (whole ? 0 : 1); places--) {
      const longest = Numbers.write(-largest, places).length;
      const high = Math.max(h * 0.44, Math.min(h * 0.56, 9)); // small cells: fuller
      const size = Math.min(14, high, (w - 5) / (longest * 0.61));
      if (size >= 8.4) return { places, size };
    }
    return null;
  }

  function drawCell(
    pen,
    box,
    value,
    largest,
    { type = null, ghost = false, unread = false } = {},
  ) {
    const { x, y, w, h } = box;
    const gap = w >= SMALL ? 0.5 : 0;
    const [left, top, width, height] = [x + gap, y + gap, w - 2 * gap, h - 2 * gap];
    if (Number.isNaN(value)) {
      pen.rect(left, top, width, height, { fill: palette.ghost });
      if (type)
        pen.text("…", x + w / 2, y + h / 2, { size: type.size, fill: palette.quiet });
      return;
    }
    const { fill, ink } = shade(value, largest);
    if (ghost) {
      pen.rect(left, top, width, height, { fill: palette.ghost });
      pen.rect(left, top, width, height, { fill, alpha: 0.3 });
      if (w >= 10)
        pen.rect(left + 1, top + 1, width - 2, height - 2, {
          stroke: palette.faint,
          dash: [2, 2],
        });
    } else {
      pen.rect(left, top, width, height, { fill, radius: w >= 18 ? 3 : 0 });
    }
    if (unread) hatch(pen, left, top, width, height);
    if (type) {
      pen.text(
        value === 0 ? "0" : Numbers.write(value, type.places),
        x + w / 2,
        y + h / 2,
        { size: type.size, fill: ghost ? palette.quiet : ink },
      );
    } else if (value < 0 && w >= 9) {
      const bar = w * 0.36;
      pen.rect(x + (w - bar) / 2, y + h / 2 - 0.75, bar, 1.5, {
        fill: ghost ? palette.quiet : ink,
        alpha: 0.8,
      });
    }
  }

  /** Many small cells at once: {value, ghost, unread}, row by row. */
  function drawMosaic(pen, grid, cells, largest) {
    pen.mosaic(
      grid.x,
      grid.y,
      cells.map(({ value, ghost, unread }) => {
        if (Number.isNaN(value)) return { fill: palette.ghost };
        const look = shade(value, largest);
        const fill = ghost ? look.ghost : look.fill;
        const bar = value < 0 && grid.w >= 5 ? look.bar : null;
        return { fill, bar, struck: unread };
      }),
      {
        columns: grid.cols.count,
        w: grid.w,
        h: grid.h,
        strike: palette.quiet,
      },
    );
  }

  /** Diagonals: a cell that no output reads. */
  function hatch(pen, x, y, w, h) {
    pen.rect(x, y, w, h, { fill: palette.surface, alpha: 0.55 });
    const gap = Math.max(4, Math.min(7, w / 4));
    for (let start = gap / 2; start < w + h; start += gap) {
      const [x1, y1] = [Math.min(start, w), Math.max(0, start - w)];
      const [x2, y2] = [Math.max(0, start - h), Math.min(start, h)];
      pen.line([x + x1, y + y1, x + x2, y + y2], {
        stroke: palette.quiet,
        width: 1,
        alpha: 0.75,
      });
    }
  }

  return {
    SMALL,
    readPalette,
    drawCell,
    drawMosaic,
    type,
    shade,
    get palette() {
      return palette;
    },
  };
})();
