/** Pearson's test of whether draws come from a distribution. */

/** Expected draws of a cell, at least; rarer outcomes are counted together. */
const LEAST = 5;
/** Of the normal distribution, at p = 0.001. */
const Z = 3.0902;

export class ChiSquare {
  /** Sum over cells of (seen - expected)² / expected, and its degrees of freedom. */
  statistic = 0;
  freedom = 0;

  /**
   * Adds draws from one distribution.
   *
   * @param drawn how often each outcome came
   * @param probabilities of outcomes, those that are not listed being the rest
   */
  add(drawn: ReadonlyMap<string, number>, probabilities: ReadonlyMap<string, number>): void {
    const total = [...drawn.values()].reduce((a, b) => a + b, 0);
    let restSeen = total;
    let restExpected = total;
    const cells: [number, number][] = [];
    for (const [outcome, p] of probabilities) {
      if (p * total < LEAST) continue;
      const seen = drawn.get(outcome) ?? 0;
      cells.push([seen, p * total]);
      restSeen -= seen;
      restExpected -= p * total;
    }
    if (restExpected >= LEAST) cells.push([restSeen, restExpected]);
    if (cells.length < 2) return;
    for (const [seen, expected] of cells) this.statistic += (seen - expected) ** 2 / expected;
    this.freedom += cells.length - 1;
  }

  /** What the statistic exceeds in one of a thousand cases (Wilson and Hilferty's approximation). */
  get critical(): number {
    const k = this.freedom;
    return k * (1 - 2 / (9 * k) + Z * Math.sqrt(2 / (9 * k))) ** 3;
  }
}
