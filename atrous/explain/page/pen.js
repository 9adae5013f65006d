/* Two pens with one hand: what is drawn on a canvas is saved as SVG by the same calls. */
const Pen = (() => {
  const FONT =
    'system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK KR", sans-serif';

  /** Draws on a canvas. Sizes are CSS pixels. */
  class CanvasPen {
    constructor(context) {
      this.context = context;
    }

    prepare({ fill, stroke, width = 1, dash = [], alpha = 1 }) {
      const { context } = this;
      context.globalAlpha = alpha;
      if (fill) context.fillStyle = fill;
      if (stroke) {
        context.strokeStyle = stroke;
        context.lineWidth = width;
        context.setLineDash(dash);
      }
    }

    rect(x, y, w, h, style) {
      this.prepare(style);
      const { context } = this;
      if (style.radius) {
        context.beginPath();
        context.roundRect(x, y, w, h, style.radius);
        if (style.fill) context.fill();
        if (style.stroke) context.stroke();
        return;
      }
      if (style.fill) context.fillRect(x, y, w, h);
      if (style.stroke) context.strokeRect(x, y, w, h);
    }

    /** `points` is a flat list; with `curve` they are one cubic Bézier. */
    line(points, style) {
      this.prepare(style);
      const { context } = this;
      context.beginPath();
      context.moveTo(points[0], points[1]);
      if (style.curve) context.bezierCurveTo(...points.slice(2));
      else
        for (let i = 2; i < points.length; i += 2)
          context.lineTo(points[i], points[i + 1]);
      if (style.fill) context.fill();
      if (style.stroke) context.stroke();
    }

    text(words, x, y, { size = 12, fill, align = "center", weight = 400, alpha = 1 }) {
      const { context } = this;
      context.globalAlpha = alpha;
      context.fillStyle = fill;
      context.font = `${weight} ${size}px ${FONT}`;
      context.textAlign = align;
      context.textBaseline = "middle";
      context.fillText(words, x, y + 0.5);
    }

    /** Cells as an image: a {fill, bar, struck} each, row by row; a bar has a colour. */
    mosaic(x, y, cells, { columns, w, h, strike }) {
      const rows = cells.length / columns;
      const image = new ImageData(columns * w, rows * h);
      const points = new Uint32Array(image.data.buffer);
      const line = pack(strike);
      const middle = Math.floor(h / 2);
      cells.forEach(({ fill, bar, struck }, i) => {
        const [colour, dash] = [pack(fill), bar ? pack(bar) : null];
        const first = Math.floor(i / columns) * h * columns * w + (i % columns) * w;
        for (let row = 0; row < h; row++) {
          for (let col = 0; col < w; col++) {
            const inBar = bar && row === middle && col > 0 && col < w - 1;
            points[first + row * columns * w + col] =
              struck && row === h - 1 - col ? line : inBar ? dash : colour;
          }
        }
      });
      const sheet = sheetFor(image.width, image.height);
      sheet.putImageData(image, 0, 0);
      this.context.globalAlpha = 1;
      this.context.imageSmoothingEnabled = false;
      this.context.drawImage(sheet.canvas, x, y);
    }

    clear(x, y, w, h) {
      this.context.globalAlpha = 1;
      this.context.clearRect(x, y, w, h);
    }
  }

  const ruler = document.createElement("canvas").getContext("2d");

  /** How wide words are, in either pen. */
  function widthOf(words, size, weight = 400) {
    ruler.font = `${weight} ${size}px ${FONT}`;
    return ruler.measureText(words).width;
  }

  const sheets = new Map(); // a few sizes come again and again: planes, slices

  function sheetFor(width, height) {
    const key = `${width} ${height}`;
    if (!sheets.has(key)) {
      if (sheets.size > 32) sheets.clear();
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      sheets.set(key, canvas.getContext("2d"));
    }
    return sheets.get(key);
  }

  const packed = new Map();

  /** A colour as a little-endian point of an image: 0xAABBGGRR. */
  function pack(colour) {
    if (!packed.has(colour)) {
      const [r, g, b] =
        colour[0] === "#"
          ? [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16))
          : colour.match(/\d+/g).map(Number);
      packed.set(colour, ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
    }
    return packed.get(colour);
  }

  const escape = (text) =>
    String(text).replace(
      /[&<>"]/g,
      (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c],
    );
  const round = (value) => Math.round(value * 100) / 100;

  /** Writes SVG elements. */
  class SvgPen {
    constructor() {
      this.elements = [];
    }

    look({ fill, stroke, width = 1, dash = [], alpha = 1 }) {
      const parts = [`fill="${fill ?? "none"}"`];
      if (stroke) parts.push(`stroke="${stroke}" stroke-width="${width}"`);
      if (stroke && dash.length) parts.push(`stroke-dasharray="${dash.join(" ")}"`);
      if (alpha !== 1) parts.push(`opacity="${alpha}"`);
      return parts.join(" ");
    }

    rect(x, y, w, h, style) {
      const corner = style.radius ? ` rx="${style.radius}"` : "";
      this.elements.push(
        `<rect x="${round(x)}" y="${round(y)}" width="${round(w)}" height="${round(h)}"${corner} ${this.look(style)}/>`,
      );
    }

    line(points, style) {
      const all = points.map(round);
      const path = style.curve
        ? `M${all[0]} ${all[1]}C${all.slice(2).join(" ")}`
        : all.reduce(
            (text, value, i) => text + (i === 0 ? "M" : i === 2 ? "L" : " ") + value,
            "",
          );
      this.elements.push(`<path d="${path}" ${this.look(style)}/>`);
    }

    text(words, x, y, { size = 12, fill, align = "center", weight = 400, alpha = 1 }) {
      const anchor = { center: "middle", left: "start", right: "end" }[align];
      this.elements.push(
        `<text x="${round(x)}" y="${round(y)}" font-size="${round(size)}" font-weight="${weight}" fill="${fill}"` +
          ` text-anchor="${anchor}" dominant-baseline="central"${alpha === 1 ? "" : ` opacity="${alpha}"`}>${escape(words)}</text>`,
      );
    }

    mosaic(x, y, cells, { columns, w, h, strike }) {
      cells.forEach(({ fill, bar, struck }, i) => {
        const [left, top] = [x + (i % columns) * w, y + Math.floor(i / columns) * h];
        this.rect(left, top, w, h, { fill });
        if (bar) this.rect(left + 1, top + Math.floor(h / 2), w - 2, 1, { fill: bar });
        if (struck)
          this.line([left, top + h, left + w, top], { stroke: strike, width: 1 });
      });
    }

    clear() {}

    document(width, height, background, title) {
      return (
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${round(width)} ${round(height)}"` +
        ` width="${round(width)}" height="${round(height)}" font-family="${escape(FONT)}">` +
        `<title>${escape(title)}</title><rect width="100%" height="100%" fill="${background}"/>` +
        `${this.elements.join("")}</svg>`
      );
    }
  }

  return { CanvasPen, SvgPen, widthOf };
})();
