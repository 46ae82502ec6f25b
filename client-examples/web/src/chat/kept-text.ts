// What is typed in a chat and not sent: it stays on the device through a reload and the end of a session. Signing out
// takes it away (`Account`).
import type { Message } from '../replica/database.js';

interface KeptEdit {
  readonly message: Message;
  readonly text: string;
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
    if (text === '') localStorage.removeItem(this.#key);
    else localStorage.setItem(this.#key, text);
  }

  /** An edit that is being typed, with its message as it was. */
  get edit(): KeptEdit | null {
    try {
      return JSON.parse(localStorage.getItem(`${this.#key}.edit`) ?? 'null') as KeptEdit | null;
    } catch {
      return null;
    }
  }

  set edit(edit: KeptEdit | null) {
    if (edit) localStorage.setItem(`${this.#key}.edit`, JSON.stringify(edit));
    else localStorage.removeItem(`${this.#key}.edit`);
  }
}
