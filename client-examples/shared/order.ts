// Lets events wait for the answers that are under way. An answer may have been read before something
// happened and come after the event that tells it: applied last, it would take that out of the cache
// again.

export class Order {
  #underWay = new Set<Promise<void>>();
  #lastTurn: Promise<unknown> = Promise.resolve();

  /** Call it when a query is sent; and what it returns when the answer is there, or none will be. */
  asks(): () => void {
    let done = () => {};
    const applied = new Promise<void>((resolve) => {
      // The library puts the answer into its cache before the next timer runs.
      done = () => void setTimeout(resolve);
    });
    this.#underWay.add(applied);
    void applied.then(() => this.#underWay.delete(applied));
    return done;
  }

  /** Resolves when an event may be applied that comes now. The order of events stays. */
  turn(): Promise<unknown> {
    this.#lastTurn = Promise.all([this.#lastTurn, ...this.#underWay]);
    return this.#lastTurn;
  }
}
