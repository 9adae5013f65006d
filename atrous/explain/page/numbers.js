/* The numbers: real tensors from the payload, small whole ones where none fit. */
const Numbers = (() => {
  const product = (shape) => shape.reduce((total, count) => total * count, 1);

  const STORED = 1 << 20; // an example's tensor with more cells is worked out, not stored
  const GLANCE = 1 << 14; // products of one output cell that may be summed for each cell

  /** A tensor of which the page may hold a part, which begins at `first`; without `data`
   * its values follow from a rule. */
  class Tensor {
    constructor(whole, data, part = whole, first = whole.map(() => 0)) {
      Object.assign(this, { whole, data, part, first });
      this.complete = product(part) === product(whole);
      if (!data) return;
      this.largest =
        data.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
      this.integers = data.every(Number.isInteger);
    }

    /** The value at an index of the whole; NaN where the page does not hold it. */
    at(index) {
      let flat = 0;
      for (let axis = 0; axis < index.length; axis++) {
        const place = index[axis] - this.first[axis];
        if (place < 0 || place >= this.part[axis]) return NaN;
        flat = flat * this.part[axis] + place;
      }
      return this.data ? this.data[flat] : this.rule(flat);
    }
  }

  function decode(carried) {
    const bytes = Uint8Array.from(atob(carried.base64), (letter) =>
      letter.charCodeAt(0),
    );
    const data = new Float32Array(bytes.length / 4);
    const view = new DataView(bytes.buffer); // little-endian whatever the machine is
    for (let i = 0; i < data.length; i++) data[i] = view.getFloat32(4 * i, true);
    return new Tensor(carried.whole, data, carried.shape, carried.first);
  }

  /** As example.py: cell i holds (5·i + ⌊i/3⌋) mod (2·reach + 1) − reach. */
  function example(shape, reach) {
    const rule = (i) => ((5 * i + Math.floor(i / 3)) % (2 * reach + 1)) - reach;
    const count = product(shape);
    if (count <= STORED)
      return new Tensor(
        shape,
        Float32Array.from({ length: count }, (_, i) => rule(i)),
      );
    return Object.assign(new Tensor(shape, null), {
      rule,
      largest: reach,
      integers: true,
    });
  }

  const sameShape = (a, b) =>
    a.length === b.length && a.every((count, i) => count === b[i]);

  /** A layer on an input: its tensors, and output values on demand. */
  class Model {
    constructor(layer, size, given) {
      Object.assign(this, { layer, size });
      this.out = Geometry.outputSize(layer, size);
      const fit = (tensor, shape, reach) =>
        tensor && sameShape(tensor.whole, shape) ? tensor : example(shape, reach);
      this.input = fit(given.input, [layer.in_channels, ...size], 3);
      this.weight = fit(given.weight, Geometry.weightShape(layer), 2);
      this.bias = layer.bias ? fit(given.bias, [layer.out_channels], 1) : null;
      // Which of the layer's own tensors did not fit, so that an example stands in.
      this.madeUp = ["input", "weight", "bias"].filter(
        (name) => given[name] && this[name] && this[name] !== given[name],
      );
      const same = JSON.stringify([layer, size]) === given.key;
      this.given = same && !this.madeUp.length ? given.output : null;
      this.sums = new Map();
    }

    /** The taps of an output cell with their numbers: x, w, product, running sum. */
    terms(channel, place) {
      let sum = 0;
      return Geometry.taps(this.layer, this.size, channel, place).map((tap) => {
        const x = tap.source ? this.input.at([tap.channel, ...tap.source]) : 0;
        const w = this.weight.at(tap.weight);
        sum += x * w;
        return { ...tap, x, w, product: x * w, sum };
      });
    }

    /** An output cell: the library's value where the page holds it, else its sum. */
    output(channel, place) {
      const known = this.given ? this.given.at([channel, ...place]) : NaN;
      return Number.isNaN(known) ? this.value(channel, place) : known;
    }

    /** The same for a picture of many cells: NaN where each would be a long sum. */
    glance(channel, place) {
      const known = this.given ? this.given.at([channel, ...place]) : NaN;
      if (!Number.isNaN(known) || this.products > GLANCE) return known;
      return this.value(channel, place);
    }

    /** How many products an output cell may have. */
    get products() {
      return Geometry.sees(this.layer, 0).length * product(this.layer.kernel_size);
    }

    /** The sum of products plus bias, computed here; NaN where a number is not held. */
    value(channel, place) {
      const key = [channel, ...place].reduce(
        (flat, i, axis) => (axis ? flat * this.out[axis - 1] + i : i),
        0,
      );
      if (!this.sums.has(key)) this.sums.set(key, this.sum(channel, place));
      return this.sums.get(key);
    }

    sum(channel, place) {
      const bias = this.bias ? this.bias.at([channel]) : 0;
      if (![this.input, this.weight].every((one) => one.complete && one.data))
        return this.partSum(channel, place, bias);
      // The same pairs as `terms`, without an object for each: grids have many cells.
      const pairs = this.pairs(place);
      const [inputs, taps] = [product(this.size), product(this.layer.kernel_size)];
      let sum = bias;
      for (const c of Geometry.sees(this.layer, channel)) {
        const first = Geometry.weightShape(this.layer)[1];
        const [a, b] = this.layer.transposed
          ? [c, channel % first]
          : [channel, c % first];
        const w = (a * first + b) * taps;
        for (const [source, tap] of pairs) {
          sum += this.input.data[c * inputs + source] * this.weight.data[w + tap];
        }
      }
      return sum;
    }

    /** The same where a part is held: the first number that is not held ends it. */
    partSum(channel, place, bias) {
      const { layer, size } = this;
      const met = Geometry.window(layer, size, place).filter((one) => one.source);
      let sum = bias;
      for (const c of Geometry.sees(layer, channel)) {
        for (const { source, tap } of met) {
          sum +=
            this.input.at([c, ...source]) *
            this.weight.at(Geometry.weightIndex(layer, channel, c, tap));
          if (Number.isNaN(sum)) return NaN;
        }
      }
      return sum;
    }

    /** Flat [source, tap] of an output position, apart from channels; zeros left out. */
    pairs(place) {
      const key = place.join();
      if (this.lastPlace !== key) {
        const flat = (index, shape) =>
          index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
        this.lastPlace = key;
        this.lastPairs = Geometry.window(this.layer, this.size, place)
          .filter((one) => one.source)
          .map((one) => [
            flat(one.source, this.size),
            flat(one.tap, this.layer.kernel_size),
          ]);
      }
      return this.lastPairs;
    }

    /** Whether every output is a whole number. */
    get integers() {
      return (
        this.input.integers &&
        this.weight.integers &&
        (!this.bias || this.bias.integers)
      );
    }

    /** What colours are scaled by: the largest output among those the page knows. */
    get largestOutput() {
      if (this.given) return this.given.largest;
      const share = this.weight.whole
        .slice(1)
        .reduce((total, count) => total * count, 1);
      return Math.max(
        1e-12,
        0.6 * this.input.largest * this.weight.largest * Math.sqrt(share),
      );
    }
  }

  /** How many decimals a set of numbers is written with: none if all are whole. */
  function decimals(values) {
    if (values.every((value) => Number.isNaN(value) || Number.isInteger(value)))
      return 0;
    const most = Math.max(
      ...values.filter((value) => !Number.isNaN(value)).map(Math.abs),
    );
    return most >= 1000 ? 2 : most < 0.01 ? 6 : 4;
  }

  /** A number as it is written in a sum; the minus is a true minus. */
  function write(value, places = decimals([value])) {
    if (Number.isNaN(value)) return "…";
    const rounded = value.toFixed(places);
    const text = Math.abs(value) >= 1e7 ? value.toExponential(3) : rounded;
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
  }

  return { Model, decode, decimals, write, product };
})();
