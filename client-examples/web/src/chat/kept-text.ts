// What is typed in a chat and not sent, and what it replies to: it stays on the device through a reload and the end of
// a session. Signing out takes it away, and so does the end of its chat (`Account`).
import type { Chat, Message } from '../replica/database.js';

/** The message that is replied to or edited by what is being written. */
export interface Draft {
  readonly kind: 'reply' | 'edit';
  readonly message: Message;
}

interface KeptEdit {
  readonly message: Message;
  readonly text: string;
}

/** Whether a message can be replied to no more: it was deleted, or lies ahead of what the viewer may read. */
export const isGone = ({ deletedAt, seq }: Message, { viewerMember }: Chat): boolean =>
  deletedAt !== null || seq < (viewerMember?.visibleFromSeq ?? 0);

/** Forgets what a user has typed, but in these chats. */
export function forgetTexts(userId: string, but: ReadonlySet<string> = new Set()): void {
  const start = `talksy.draft.${userId}.`;
  for (const key of Object.keys(localStorage)) {
    const [chatId = ''] = key.slice(start.length).split('.');
    if (key.startsWith(start) && !but.has(chatId)) localStorage.removeItem(key);
  }
}

/** The texts of one chat. */
export class KeptText {
  readonly #key: string;

  constructor(userId: string, chatId: string) {
    this.#key = `talksy.draft.${userId}.${chatId}`;
  }

  /** The next message; empty where nothing is typed. */
  get message(): string {
    return localStorage.getItem(this.#key) ?? '';
  }

  set message(text: string) {
    write(this.#key, text === '' ? null : text);
  }

  /** An edit that is being typed, with its message as it was. */
  get edit(): KeptEdit | null {
    return this.#read('edit') as KeptEdit | null;
  }

  set edit(edit: KeptEdit | null) {
    write(`${this.#key}.edit`, edit && JSON.stringify(edit));
  }

  /** The message that the next one replies to, as it was. */
  get reply(): Message | null {
    return this.#read('reply') as Message | null;
  }

  set reply(message: Message | null) {
    write(`${this.#key}.reply`, message && JSON.stringify(message));
  }

  /** An edit comes ahead of the next message, which is gone on with behind it. */
  get draft(): Draft | null {
    const { edit, reply } = this;
    if (edit) return { kind: 'edit', message: edit.message };
    return reply && { kind: 'reply', message: reply };
  }

  #read(what: string): unknown {
    try {
      return JSON.parse(localStorage.getItem(`${this.#key}.${what}`) ?? 'null');
    } catch {
      return null;
    }
  }
}

function write(key: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // The device is full: it stands on the page alone, and what was kept before is another.
    localStorage.removeItem(key);
  }
}
