/* The sum worked by hand: x · w, the running sum, + bias, = the value. */
const Work = (() => {
  const ALL = 64; // more products than this are shown a channel at a time
  const IN_LINE = 12; // more than this do not fit a line
  const MOST = 400;
  const READABLE = 100; // milliseconds
  let holder, parts, brief;
  const rows = [];

  function element(tag, name, parent, text) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    parent?.append(made);
    return made;
  }

  function start() {
    holder = document.getElementById("work");
    brief = document.getElementById("brief");
    const head = element("div", "result", holder);
    const index = element("h2", "", head);
    const value = element("output", "", head);
    value.id = "value";
    value.setAttribute("aria-live", "off"); // the picture speaks, where keys move it
    const equation = element("p", "equation", holder);
    const sentence = element("p", "note", holder);
    const scroll = element("div", "scroll", holder);
    scroll.tabIndex = 0;
    const table = element("table", "terms", scroll);
    const header = element("tr", "", element("thead", "", table));
    const body = element("tbody", "", table);
    const more = element("p", "note", holder);
    parts = { index, value, equation, sentence, scroll, header, body, more };
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && State.cursor.side === "output") State.show(Number(row.dataset.index));
    });
    for (const event of ["setting", "cursor", "look"]) State.on(event, draw);
  }

  /** Text that is already there costs no layout. */
  const put = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };

  function heads(keys) {
    const wanted = keys.map((key) => Words.say(key)).join("|");
    if (parts.header.dataset.wanted === wanted) return;
    parts.header.dataset.wanted = wanted;
    parts.header.replaceChildren(
      ...keys.map((key) => element("th", "", null, Words.say(key))),
    );
    parts.header
      .querySelectorAll("th")
      .forEach((cell) => cell.setAttribute("scope", "col"));
  }

  /** Row `at`: five cells, their texts, and the cell whose product has a bar. */
  function rowAt(at) {
    while (rows.length <= at) {
      const row = element("tr", "");
      const texts = Array.from({ length: 5 }, () => document.createTextNode(""));
      texts.forEach((text) => element("td", "", row).append(text));
      rows.push({ row, texts, bar: row.cells[3] });
    }
    return rows[at];
  }

  /** A step changes every row: data of texts and a background, which costs the least. */
  function fill(at, index, words, share, negative, look) {
    const { row, texts, bar } = rowAt(at);
    if (!row.isConnected) parts.body.append(row);
    row.dataset.index = index;
    if (row.className !== look) row.className = look;
    texts.forEach((text, i) => {
      if (text.data !== words[i]) text.data = words[i];
    });
    bar.style.backgroundSize = `${Math.round(share * 88)}% 3px`;
    const kind = negative ? "negative" : "";
    if (bar.className !== kind) bar.className = kind;
  }

  let drawn = 0; // when the rows were last drawn
  let waiting = null;

  /** The rows are half the cost of a frame: while playing they follow ten times a
   * second, which is more than can be read, and the last cell's always stand. */
  function rowsBy(act) {
    clearTimeout(waiting);
    const now = () => {
      drawn = performance.now();
      act();
    };
    const left = drawn + READABLE - performance.now();
    if (left > 0 && Keys.playing()) waiting = setTimeout(now, left);
    else now();
  }

  const trim = (count) => {
    for (let i = count; i < rows.length && rows[i].row.isConnected; i++)
      rows[i].row.remove();
  };

  const name = (letter, index) => `${letter}[${index.join(", ")}]`.replaceAll("-", "−");

  function draw() {
    if (State.cursor.side === "output") drawSum();
    else drawReach();
    // Where the sum stands below the picture, what it comes to stands above it.
    put(
      brief,
      `${parts.index.textContent} ${parts.value.className ? "→" : "="} ${parts.value.textContent}`,
    );
  }

  function drawSum() {
    const { model, cursor, product } = State;
    const { terms } = Stage.meeting;
    const bias = model.bias ? model.bias.at([cursor.channel]) : null;
    const write = writers(terms, bias ?? 0);
    const total = terms.length ? terms[terms.length - 1].sum : 0;
    const value = model.output(cursor.channel, cursor.position);
    put(parts.index, name("y", [cursor.channel, ...cursor.position]));
    put(parts.value, write.sum(product === null ? value : (terms[product]?.sum ?? 0)));
    parts.value.className = product === null ? "" : "part";
    if (product === null) equation(terms, write, bias, total, value);
    else addition(terms, write, product);
    put(
      parts.sentence,
      Words.say(product === null ? "work.sum" : "work.soFar", {
        count: terms.length,
        done: (product ?? 0) + 1,
      }),
    );
    heads(["work.input", "work.x", "work.w", "work.product", "work.running"]);
    rowsBy(() => drawTerms(terms, write, product));
  }

  /** How x, w and what comes of them are written: each with decimals of its own. */
  function writers(terms, bias) {
    const by = (values) => {
      const places = Numbers.decimals(values);
      return (value) => Numbers.write(value, places);
    };
    return {
      x: by(terms.map((one) => one.x)),
      w: by(terms.map((one) => one.w)),
      sum: by(terms.map((one) => one.product).concat(bias)),
    };
  }

  /** A factor or a bias within a sum: a negative one in brackets. */
  const bracket = (number, write) =>
    number < 0 ? `(${write(number)})` : write(number);

  /** One product more: what there was, what comes, what there is. */
  function addition(terms, write, product) {
    const { x, w, sum } = terms[product];
    const before = product ? `${write.sum(terms[product - 1].sum)} + ` : "";
    put(
      parts.equation,
      `${before}${bracket(x, write.x)}·${bracket(w, write.w)} = ${write.sum(sum)}`,
    );
  }

  function equation(terms, write, bias, total, value) {
    const sum =
      terms.length && terms.length <= IN_LINE
        ? terms
            .map((one) => `${bracket(one.x, write.x)}·${bracket(one.w, write.w)}`)
            .join(" + ")
        : `Σ ${write.sum(total)}`;
    const plus =
      bias === null ? "" : ` + ${Words.say("work.bias")} ${bracket(bias, write.sum)}`;
    put(
      parts.equation,
      `${sum}${plus} = ${write.sum(Number.isNaN(value) ? total + (bias ?? 0) : value)}`,
    );
  }

  function drawTerms(terms, write, product) {
    const inChannel = (one) =>
      terms.length <= ALL || one.channel === State.inputChannel;
    const most = Math.max(1e-30, ...terms.map((one) => Math.abs(one.product) || 0));
    let at = 0;
    let channel = null;
    let subtotal = 0;
    terms.forEach((one, index) => {
      if (!inChannel(one) || at > MOST) return;
      if (channel !== null && one.channel !== channel) subtotal = 0;
      const ghost = one.position.some(
        (place, axis) => place < 0 || place >= State.model.size[axis],
      );
      const looks = [
        one.channel !== channel && channel !== null ? "first" : "",
        ghost ? "ghost" : "",
        index === product ? "now" : "",
        product !== null && index > product ? "later" : "",
      ];
      channel = one.channel;
      subtotal += one.product;
      fill(
        at++,
        index,
        [
          name("x", [one.channel, ...one.position]),
          write.x(one.x),
          write.w(one.w),
          write.sum(one.product),
          write.sum(one.sum),
        ],
        Math.abs(one.product) / most || 0,
        one.product < 0,
        looks.filter(Boolean).join(" "),
      );
    });
    trim(at);
    const hidden = terms.length - at;
    put(
      parts.more,
      hidden > 0 ? Words.say("work.more", { hidden, channel: State.inputChannel }) : "",
    );
    const now =
      product === null
        ? null
        : rows.find((one) => one.row.isConnected && one.row.className.includes("now"));
    if (now)
      parts.scroll.scrollTop = Math.max(
        0,
        now.row.offsetTop - parts.scroll.clientHeight / 2,
      );
  }

  /** What an input cell gives to each output that it reaches. */
  function drawReach() {
    const { model, cursor } = State;
    const { terms } = Stage.meeting;
    const x = model.input.at([cursor.channel, ...cursor.position]);
    const write = writers([{ x, w: 0, product: 0 }, ...terms], 0);
    put(parts.index, name("x", [cursor.channel, ...cursor.position]));
    put(parts.value, write.x(x));
    parts.value.className = "";
    const outputs = new Set(terms.map((one) => [one.channel, ...one.position].join()))
      .size;
    put(
      parts.equation,
      Words.say(outputs ? "work.reach" : "work.reachNone", { outputs }),
    );
    put(
      parts.sentence,
      outputs
        ? Words.say(model.layer.transposed ? "work.reverseTransposed" : "work.reverse")
        : "",
    );
    heads(["work.output", "work.x", "work.w", "work.gives", "work.value"]);
    rowsBy(() => drawReached(terms, write));
    put(
      parts.more,
      terms.length > MOST
        ? Words.say("work.moreReach", { hidden: terms.length - MOST })
        : "",
    );
  }

  function drawReached(terms, write) {
    const { model } = State;
    const most = Math.max(1e-30, ...terms.map((one) => Math.abs(one.product) || 0));
    terms.slice(0, MOST).forEach((one, at) => {
      fill(
        at,
        at,
        [
          name("y", [one.channel, ...one.position]),
          write.x(one.x),
          write.w(one.w),
          write.sum(one.product),
          write.sum(model.output(one.channel, one.position)),
        ],
        Math.abs(one.product) / most || 0,
        one.product < 0,
        "",
      );
    });
    trim(Math.min(terms.length, MOST));
  }

  return { start, element, name };
})();
