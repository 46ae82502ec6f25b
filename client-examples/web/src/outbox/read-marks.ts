// Tells the server how far the viewer has read: the last mark of each chat, until it has answered.
import { Refused, backoff, mayPass } from '../talksy/refused.js';

export class ReadMarks {
  #wanted = new Map<string, number>();
  #busy = new Set<string>();

  constructor(
    readonly tell: (chatId: string, seq: number) => Promise<unknown>,
    readonly signal: AbortSignal,
    readonly wait: typeof backoff = backoff,
  ) {}

  mark(chatId: string, seq: number): void {
    this.#wanted.set(chatId, Math.max(seq, this.#wanted.get(chatId) ?? 0));
    if (!this.#busy.has(chatId)) void this.#send(chatId);
  }

  async #send(chatId: string) {
    this.#busy.add(chatId);
    for (let tries = 0; !this.signal.aborted; ) {
      const seq = this.#wanted.get(chatId);
      if (seq === undefined) break;
      try {
        await this.tell(chatId, seq);
        tries = 0;
      } catch (error) {
        if (mayPass(error)) {
          tries += 1;
          await this.wait(tries, error instanceof Refused ? error.retryAfter : undefined);
          continue;
        }
      }
      // What came meanwhile is further.
      if (this.#wanted.get(chatId) === seq) this.#wanted.delete(chatId);
    }
    this.#busy.delete(chatId);
  }
}
