// What the user has sent and the server has not answered. Show it behind the thread. A list that is
// written optimistically into a library's cache would hide what others send until the answer comes.

export interface Pending {
  readonly chatId: string;
  readonly text: string;
  /** One id for the message, not for the try: a retry gets the first message, not a second one. */
  readonly clientMessageId: string;
}

/** `subscribe` and `snapshot` are what React's `useSyncExternalStore` takes. */
export class Outbox {
  #pending: readonly Pending[] = [];
  #listeners = new Set<() => void>();

  readonly snapshot = (): readonly Pending[] => this.#pending;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** What is on its way to a chat, without what its thread shows already. */
  of(chatId: string, thread: readonly { clientMessageId: string | null }[]): Pending[] {
    const arrived = new Set(thread.map(({ clientMessageId }) => clientMessageId));
    return this.#pending.filter(
      (pending) => pending.chatId === chatId && !arrived.has(pending.clientMessageId),
    );
  }

  /** Shows the message as pending until `deliver` has ended. */
  async send<Answer>(
    chatId: string,
    text: string,
    deliver: (pending: Pending) => Promise<Answer>,
  ): Promise<Answer> {
    const pending = { chatId, text, clientMessageId: crypto.randomUUID() };
    this.#change([...this.#pending, pending]);
    try {
      return await deliver(pending);
    } finally {
      this.#change(this.#pending.filter((other) => other !== pending));
    }
  }

  #change(pending: readonly Pending[]) {
    this.#pending = pending;
    for (const listener of this.#listeners) listener();
  }
}
