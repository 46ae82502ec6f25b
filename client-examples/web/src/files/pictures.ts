// The URLs of attachments and of people's pictures. They are good for an hour or two: here is what is good
// now, asked for in one go where several are wanted.
import type { Attachment } from '../replica/database.js';

/** Answers for ids of attachments and users; null for one that has none. */
export type AskPictures = (ids: readonly string[]) => Promise<ReadonlyMap<string, Attachment | null>>;

/** Milliseconds ahead of its end at which a URL is taken for old. */
const AHEAD = 60_000;
/** What nobody has a picture for is asked again behind so many milliseconds. */
const AGAIN = 600_000;

interface Known {
  readonly picture: Attachment | null;
  readonly until: number;
}

/** `subscribe` is what React's `useSyncExternalStore` takes, with `get` as the snapshot. */
export class Pictures {
  #known = new Map<string, Known>();
  #wanted = new Set<string>();
  #asked = new Map<string, number>();
  #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly ask: AskPictures,
    readonly now: () => number = Date.now,
  ) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** What is known of a user's or an attachment's picture; undefined where nothing is. */
  get(id: string): Attachment | null | undefined {
    return this.#known.get(id)?.picture;
  }

  /** Takes an attachment with its URLs, unless one is known that is good: a shown image stays the same. */
  offer(attachment: Attachment): void {
    const until = Date.parse(attachment.urlExpiresAt) - AHEAD;
    const known = this.#known.get(attachment.id);
    if (until < this.now() || (known && known.until > this.now())) return;
    this.#known.set(attachment.id, { picture: attachment, until });
  }

  /** Asks for what is not known or old, with all others that are wanted in the same moment. */
  want(id: string): void {
    const known = this.#known.get(id);
    if (id === '' || (known && known.until > this.now())) return;
    // What failed a moment ago is not asked for again with each row that is drawn.
    if ((this.#asked.get(id) ?? 0) > this.now() - 5_000) return;
    this.#wanted.add(id);
    this.#timer ??= setTimeout(() => void this.#askNow(), 20);
  }

  /** A URL did not work, or the picture is another: asks anew. */
  renew(id: string): void {
    const known = this.#known.get(id);
    if (known) this.#known.set(id, { ...known, until: 0 });
    this.want(id);
  }

  async #askNow() {
    this.#timer = undefined;
    const ids = [...this.#wanted].slice(0, 50);
    for (const id of ids) {
      this.#wanted.delete(id);
      this.#asked.set(id, this.now());
    }
    if (this.#wanted.size > 0) this.#timer = setTimeout(() => void this.#askNow(), 20);
    try {
      const told = await this.ask(ids);
      for (const id of ids) {
        const picture = told.get(id) ?? null;
        const until = picture ? Date.parse(picture.urlExpiresAt) - AHEAD : this.now() + AGAIN;
        this.#known.set(id, { picture, until });
      }
      for (const listener of this.#listeners) listener();
    } catch {
      // Initials and names are shown; the next who wants it asks again.
    }
  }
}
