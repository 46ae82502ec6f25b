// Word of what was written, in this tab and in the others of the same user.

export interface Change {
  /** Everything may be another. */
  readonly isAll?: boolean;
  readonly chats?: readonly string[];
  /** The numbers of messages, by chat. */
  readonly messages?: readonly (readonly [string, readonly number[]])[];
  /** The chats of which all messages were dropped. */
  readonly dropped?: readonly string[];
  readonly members?: readonly string[];
  readonly viewer?: boolean;
  readonly outbox?: boolean;
  /** The chats in which other files are chosen. */
  readonly drafts?: readonly string[];
  /** How much of a file has gone up, from 0 to 1, by its id. */
  readonly progress?: readonly [string, number];
}

type Listener = (change: Change) => void;

export class Changes {
  #listeners = new Set<Listener>();
  #channel: BroadcastChannel | undefined;

  /** Without a name it tells this tab alone. */
  constructor(name?: string) {
    if (!name) return;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data as Change);
  }

  tell(change: Change): void {
    this.#channel?.postMessage(change);
    this.#hear(change);
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#listeners.clear();
    this.#channel?.close();
  }

  #hear(change: Change) {
    for (const listener of this.#listeners) listener(change);
  }
}
