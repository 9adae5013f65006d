"""Winograd's minimal filtering: the three matrices, exactly, and cheap code for them.

F(m, r) gives m outputs of a filter of r taps from n = m + r - 1 inputs d with n
products instead of m·r:

    y = Aᵀ · ((G · g) ⊙ (Bᵀ · d))

It is Toom and Cook's product of polynomials, transposed: both are evaluated at n - 1
points and at infinity. With point aᵢ and Nᵢ = Π (aᵢ - aⱼ) over j ≠ i,

    Aᵀ[j][i] = aᵢʲ     G[i][k] = aᵢᵏ / Nᵢ     Bᵀ[i] = coefficients of Π (x - aⱼ), j ≠ i

The points decide the rounding error: 0, ±5/8, ±3/2 make half of what 0, ±1, ±2 make,
and ±1/2, ±5/4 half of what 0, ±1, 1/2 make.

At step s the taps k ≡ φ (mod s) are a filter at step 1 of the inputs ≡ φ; more than
five taps are two such filters. Each has its own spots, and y is the sum of all: the
matrices then consist of theirs, side by side. A filter of one tap is its own product.
Sources: Lavin & Gray 2016, arXiv:1509.09308; for the points Barabasz et al. 2020,
arXiv:1803.10986.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache

from ..emit import Emitter, Value

#: The points beside infinity, by their number, in eighths.
_EIGHTHS = {
    0: (),
    2: (8, -8),
    3: (0, 8, -8),
    4: (4, -4, 10, -10),
    5: (0, 5, -5, 12, -12),
    6: (3, -3, 7, -7, 14, -14),
}
POINTS = {
    number: tuple(Fraction(eighth, 8) for eighth in eighths)
    for number, eighths in _EIGHTHS.items()
}

#: Most taps of one filter: more would lose digits. Several have one less.
LONGEST = 5

Matrix = tuple[tuple[Fraction, ...], ...]


def _product(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x - root), lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def filters(taps: int, step: int) -> list[range]:
    """The taps of each filter at step 1 that those of an axis are made of."""
    found = []
    for phase in range(min(step, taps)):
        of_phase = range(phase, taps, step)
        parts = 1 if len(of_phase) <= LONGEST else -(-len(of_phase) // (LONGEST - 1))
        size = -(-len(of_phase) // parts)
        found += [of_phase[i : i + size] for i in range(0, len(of_phase), size)]
    return found


@cache
def matrices(outputs: int, taps: int, step: int = 1) -> tuple[Matrix, Matrix, Matrix]:
    """Aᵀ (m × n), G (n × r) and Bᵀ (n × inputs), for n spots, of F(outputs, taps) at
    a step."""
    inputs = (outputs - 1) * step + taps
    across: list[list[Fraction]] = [[] for _ in range(outputs)]
    filter_rows, input_rows = [], []
    for part in filters(taps, step):
        left, middle, right = _minimal(outputs, len(part))
        for row, more in zip(across, left, strict=True):
            row.extend(more)
        filter_rows += [_spread(row, part.start, step, taps) for row in middle]
        input_rows += [_spread(row, part.start, step, inputs) for row in right]
    return _frozen(across), _frozen(filter_rows), _frozen(input_rows)


@cache
def different(outputs: int, taps: int, step: int = 1) -> Matrix:
    """G with each of its rows once."""
    return tuple(dict.fromkeys(matrices(outputs, taps, step)[1]))


def _spread(row: Sequence[Fraction], first: int, step: int, size: int):
    """The entries `step` apart from the `first` on, in a row of `size`."""
    spread = [Fraction(0)] * size
    spread[first : first + step * len(row) : step] = row
    return spread


@cache
def _minimal(outputs: int, taps: int) -> tuple[Matrix, Matrix, Matrix]:
    """The matrices of one filter at step 1."""
    if taps == 1:
        same = [[Fraction(i == j) for j in range(outputs)] for i in range(outputs)]
        return _frozen(same), ((Fraction(1),),) * outputs, _frozen(same)
    size = outputs + taps - 1
    points = POINTS[size - 1]
    output = [[a**j for a in points] for j in range(outputs)]
    weights, inputs = [], []
    for i, a in enumerate(points):
        others = [b for j, b in enumerate(points) if j != i]
        norm = Fraction(1)
        for b in others:
            norm *= a - b
        weights.append([a**k / norm for k in range(taps)])
        inputs.append([*_product(others), Fraction(0)])
    for j, row in enumerate(output):  # infinity: the leading coefficients
        row.append(Fraction(j == outputs - 1))
    weights.append([Fraction(k == taps - 1) for k in range(taps)])
    inputs.append(_product(points))
    return _frozen(output), _frozen(weights), _frozen(inputs)


def watched(left: Matrix) -> tuple[int, ...]:
    """Outputs which together depend on every spot, by Aᵀ: few of them."""
    missing, found = set(range(len(left[0]))), []
    while missing:
        reach = [{i for i in missing if row[i]} for row in left]
        best = max(range(len(left)), key=lambda j: len(reach[j]))
        missing -= reach[best]
        found.append(best)
    return tuple(sorted(found))


def blocks(matrix: Matrix) -> list[tuple[list[int], list[int]]]:
    """The rows and columns of each block, if blocks are all that the matrix has."""
    found: list[tuple[set[int], set[int]]] = []
    for i, row in enumerate(matrix):
        rows, columns = {i}, {j for j, value in enumerate(row) if value}
        for other in [each for each in found if each[1] & columns]:
            found.remove(other)
            rows, columns = rows | other[0], columns | other[1]
        found.append((rows, columns))
    return [(sorted(rows), sorted(columns)) for rows, columns in found]


def transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _frozen(rows) -> Matrix:
    return tuple(tuple(row) for row in rows)


#: A sum of multiples of variables.
Form = dict[int, Fraction]
#: Two variables, and the second's factor over the first's.
Pair = tuple[int, int, Fraction]


@cache
def shared(matrix: Matrix) -> tuple[list[Form], list[Form]]:
    """Linear forms that share their parts: new variables, then the matrix's rows.

    Variables are the inputs, then the new ones. As long as two rows contain the same
    pair up to a factor, the pair becomes a variable (Paar 1997): with points ±a it
    finds the sums and differences of Winograd's own derivation.
    """
    rows = [{i: c for i, c in enumerate(row) if c} for row in matrix]
    parts = _equal_columns(rows, len(matrix[0]))
    where: dict[Pair, set[int]] = {}  # the rows that contain a pair
    for number, row in enumerate(rows):
        for pair in _pairs(row):
            where.setdefault(pair, set()).add(number)
    while times := max(map(len, where.values()), default=0):
        if times < 2:
            break
        most = [pair for pair, found in where.items() if len(found) == times]
        first = min(min(where[pair]) for pair in most)
        pair = next(p for p in _pairs(rows[first]) if len(where[p]) == times)
        i, j, ratio = pair
        if not _exact(ratio):
            i, j, ratio = j, i, 1 / ratio
        variable = len(matrix[0]) + len(parts)
        parts.append({i: Fraction(1), j: ratio})
        for number in tuple(where[pair]):
            row = rows[number]
            for old in _pairs(row):
                where[old].discard(number)
            row[variable] = row.pop(i)
            del row[j]
            for new in _pairs(row):
                where.setdefault(new, set()).add(number)
    return parts, rows


def _pairs(row: Form) -> list[Pair]:
    """The pairs of a row's variables, each with the ratio of their factors."""
    return [(i, j, row[j] / row[i]) for i in row for j in row if i < j]


def _equal_columns(rows: list[Form], inputs: int) -> list[Form]:
    """Sums of the inputs whose columns are equal, which several filters have; the rows
    then use those."""
    alike: dict[tuple, list[int]] = {}
    for i in range(inputs):
        column = tuple((j, row[i]) for j, row in enumerate(rows) if i in row)
        if len(column) > 1:
            alike.setdefault(column, []).append(i)
    parts: list[Form] = []
    for column, (first, *others) in alike.items():
        if not others:
            continue
        parts.append({i: Fraction(1) for i in (first, *others)})
        for j, factor in column:
            for i in (first, *others):
                del rows[j][i]
            rows[j][inputs + len(parts) - 1] = factor
    return parts


def _exact(number: Fraction) -> bool:
    """Whether it has a finite binary fraction."""
    return number.denominator & (number.denominator - 1) == 0


def _sum(e: Emitter, form: Form, values: Sequence[Value]) -> Value:
    """A form's value; what needs no product comes first."""
    terms = sorted(form.items(), key=lambda term: (term[1] != 1, abs(term[1]) != 1))
    (first, factor), *rest = terms
    total = values[first] if factor == 1 else values[first] * float(factor)
    for variable, factor in rest:
        if factor == 1:
            total = total + values[variable]
        elif factor == -1:
            total = total - values[variable]
        else:
            total = e.fma(values[variable], float(factor), total)
    return total


def multiply(
    e: Emitter, forms: tuple[list[Form], list[Form]], vector: Sequence[Value]
) -> list[Value]:
    """The matrix whose shared forms these are, times the vector, unrolled."""
    parts, rows = forms
    values = list(vector)
    for part in parts:
        values.append(_sum(e, part, values))
    return [_sum(e, row, values) for row in rows]


def transform(
    e: Emitter,
    left: Matrix,
    right: Matrix,
    load: Callable[[int, int], Value],
    store: Callable[[int, int, Value], None],
) -> None:
    """left · X · rightᵀ: columns first, then row by row to where they are stored, one
    block of the right matrix after the other."""
    down = shared(left)
    for rows, inner in blocks(right):
        across = shared(tuple(tuple(right[j][k] for k in inner) for j in rows))
        columns = [
            multiply(e, down, [load(i, j) for i in range(len(left[0]))]) for j in inner
        ]
        for i in range(len(left)):
            row = multiply(e, across, [column[i] for column in columns])
            for j, value in zip(rows, row, strict=True):
                store(i, j, value)
