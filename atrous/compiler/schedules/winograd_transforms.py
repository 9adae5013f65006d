"""Winograd's minimal filtering: the three matrices, exactly, and cheap code for them.

F(m, r) gives m outputs of a filter of r taps from n = m + r - 1 inputs d with n
products instead of m·r:

    y = Aᵀ · ((G · g) ⊙ (Bᵀ · d))

It is Toom and Cook's product of polynomials, transposed: both are evaluated at n - 1
points and at infinity. With point aᵢ and Nᵢ = Π (aᵢ - aⱼ) over j ≠ i,

    Aᵀ[j][i] = aᵢʲ     G[i][k] = aᵢᵏ / Nᵢ     Bᵀ[i] = coefficients of Π (x - aⱼ), j ≠ i

The points decide the rounding error: 0, ±1, 1/2, -2 make two thirds of what 0, ±1, ±2
make. Sources: Lavin & Gray 2016, arXiv:1509.09308; for the points Barabasz et al. 2020,
arXiv:1803.10986.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache

from ..emit import Emitter, Value

#: The points beside infinity, by their number, in eighths.
_EIGHTHS = {
    0: (),
    3: (0, 8, -8),
    5: (0, 5, -5, 12, -12),
    7: (0, 4, -4, 8, -8, 16, -16),
}
POINTS = {
    number: tuple(Fraction(eighth, 8) for eighth in eighths)
    for number, eighths in _EIGHTHS.items()
}

Matrix = tuple[tuple[Fraction, ...], ...]


def _product(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x - root), lowest power first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [a - b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


@cache
def matrices(outputs: int, taps: int) -> tuple[Matrix, Matrix, Matrix]:
    """Aᵀ (m × n), G (n × r) and Bᵀ (n × n) of F(outputs, taps)."""
    size = outputs + taps - 1
    points = POINTS[size - 1]
    output = [[a**j for a in points] for j in range(outputs)]
    filters, inputs = [], []
    for i, a in enumerate(points):
        others = [b for j, b in enumerate(points) if j != i]
        norm = Fraction(1)
        for b in others:
            norm *= a - b
        filters.append([a**k / norm for k in range(taps)])
        inputs.append([*_product(others), Fraction(0)])
    for j, row in enumerate(output):  # infinity: the leading coefficients
        row.append(Fraction(j == outputs - 1))
    filters.append([Fraction(k == taps - 1) for k in range(taps)])
    inputs.append(_product(points))
    return _frozen(output), _frozen(filters), _frozen(inputs)


def transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _frozen(rows) -> Matrix:
    return tuple(tuple(row) for row in rows)


#: A sum of multiples of variables.
Form = dict[int, Fraction]


@cache
def shared(matrix: Matrix) -> tuple[list[Form], list[Form]]:
    """Linear forms that share their parts: new variables, then the matrix's rows.

    Variables are the inputs, then the new ones. As long as two rows contain the same
    pair up to a factor, the pair becomes a variable (Paar 1997): with points ±a it
    finds the sums and differences of Winograd's own derivation.
    """
    rows = [{i: c for i, c in enumerate(row) if c} for row in matrix]
    parts: list[Form] = []
    while True:
        found: Counter[tuple[int, int, Fraction]] = Counter(
            (i, j, row[j] / row[i]) for row in rows for i in row for j in row if i < j
        )
        if not found:
            return parts, rows
        (i, j, ratio), times = max(found.items(), key=lambda item: item[1])
        if times < 2:
            return parts, rows
        if not _exact(ratio):
            i, j, ratio = j, i, 1 / ratio
        number = len(matrix[0]) + len(parts)
        parts.append({i: Fraction(1), j: ratio})
        for row in rows:
            if i in row and row.get(j) == ratio * row[i]:
                row[number] = row.pop(i)
                del row[j]


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


def multiply(e: Emitter, matrix: Matrix, vector: Sequence[Value]) -> list[Value]:
    """matrix · vector, unrolled."""
    parts, rows = shared(matrix)
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
    """left · X · rightᵀ: columns first, then row by row to where they are stored."""
    columns = [
        multiply(e, left, [load(i, j) for i in range(len(left[0]))])
        for j in range(len(right[0]))
    ]
    for i in range(len(left)):
        row = multiply(e, right, [column[i] for column in columns])
        for j, value in enumerate(row):
            store(i, j, value)
