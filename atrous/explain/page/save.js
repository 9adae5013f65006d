/* Copy the line; save the picture as it stands, with its caption, as SVG or PNG. */
const Save = (() => {
  const EDGE = 28;

  /** The caption: the layer, and the sum that the picture shows. */
  function caption() {
    const sum = document.querySelector("#work .equation").textContent;
    const index = document.querySelector("#work h2").textContent;
    return [
      Settings.line(State.model.layer),
      State.cursor.side === "output" ? `${index} = ${sum}` : `${index} ${sum}`,
    ];
  }

  /** A long sum in lines, broken before a plus. */
  function lines(sum, width) {
    return sum.split(/ (?=\+ )/).reduce((rows, part) => {
      const longer = rows.length ? `${rows[rows.length - 1]} ${part}` : part;
      if (!rows.length || Pen.widthOf(longer, 13) > width) return [...rows, part];
      return [...rows.slice(0, -1), longer];
    }, []);
  }

  /** Shifts a pen, so that the picture has an edge. */
  const shifted = (pen, dx, dy) => ({
    rect: (x, y, w, h, style) => pen.rect(x + dx, y + dy, w, h, style),
    text: (words, x, y, style) => pen.text(words, x + dx, y + dy, style),
    line: (points, style) =>
      pen.line(
        points.map((value, i) => value + (i % 2 ? dy : dx)),
        style,
      ),
    mosaic: (x, y, cells, look) => pen.mosaic(x + dx, y + dy, cells, look),
    clear: () => {},
  });

  function drawing(pen) {
    const { ink, quiet } = Cells.palette;
    const [line, sum] = caption();
    const size = Stage.drawBy(shifted(pen, EDGE, EDGE + 30));
    const inner = Math.max(size.width, Pen.widthOf(line, 14, 600));
    pen.text(line, EDGE, EDGE, { size: 14, weight: 600, fill: ink, align: "left" });
    const written = lines(sum, inner);
    const below = size.height + EDGE + 52;
    written.forEach((words, i) =>
      pen.text(words, EDGE, below + 20 * i, { size: 13, fill: quiet, align: "left" }),
    );
    return {
      width: inner + 2 * EDGE,
      height: below + 20 * (written.length - 1) + EDGE + 10,
    };
  }

  function svg() {
    const pen = new Pen.SvgPen();
    const { width, height } = drawing(pen);
    return pen.document(width, height, Cells.palette.surface, caption()[0]);
  }

  function canvas() {
    const { width, height } = drawing(new Pen.SvgPen());
    const made = document.createElement("canvas");
    [made.width, made.height] = [Math.ceil(width * 2), Math.ceil(height * 2)];
    const context = made.getContext("2d");
    context.scale(2, 2);
    context.fillStyle = Cells.palette.surface;
    context.fillRect(0, 0, width, height);
    drawing(new Pen.CanvasPen(context));
    return made;
  }

  function download(blob, ending) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${Settings.name(State.model.layer).toLowerCase()}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  async function copy() {
    const line = document.getElementById("line");
    try {
      await navigator.clipboard.writeText(line.textContent);
    } catch {
      // A page in a notebook's frame may not reach the clipboard but by a selection.
      getSelection().selectAllChildren(line);
      document.execCommand("copy");
      getSelection().removeAllRanges();
    }
    const button = document.getElementById("copy");
    button.textContent = Words.say("page.copied");
    setTimeout(() => {
      button.textContent = Words.say("page.copy");
    }, 1400);
  }

  function start() {
    document.getElementById("copy").addEventListener("click", copy);
    document
      .getElementById("save-svg")
      .addEventListener("click", () =>
        download(new Blob([svg()], { type: "image/svg+xml" }), "svg"),
      );
    document
      .getElementById("save-png")
      .addEventListener("click", () =>
        canvas().toBlob((blob) => download(blob, "png"), "image/png"),
      );
  }

  return { start, svg, canvas };
})();
