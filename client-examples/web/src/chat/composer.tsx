// Where a message is written. The text stays on the device until it is sent.
import { useEffect, useRef, useState, type KeyboardEvent } from 'react';

import { useTellTyping } from '../live/live.js';
import type { Message } from '../replica/database.js';
import { IconButton, Name, useAccount, useAccountState } from '../ui/parts.js';

export interface Draft {
  readonly kind: 'reply' | 'edit';
  readonly message: Message;
}

interface ComposerProps {
  readonly chatId: string;
  readonly draft: Draft | null;
  readonly onDraft: (draft: Draft | null) => void;
  readonly onEdit: (message: Message, text: string) => Promise<boolean>;
  readonly onSent: () => void;
  readonly onEditLast: () => void;
}

const MOST = 4_000;

export function Composer({ chatId, draft, onDraft, onEdit, onSent, onEditLast }: ComposerProps) {
  const { queue, userId } = useAccount();
  const { members } = useAccountState();
  const key = `talksy.draft.${userId}.${chatId}`;
  const [text, setText] = useState(() => localStorage.getItem(key) ?? '');
  const area = useRef<HTMLTextAreaElement>(null);
  const tellTyping = useTellTyping(chatId);
  const editing = draft?.kind === 'edit' ? draft.message : null;
  const count = [...text].length;

  useEffect(() => {
    if (draft) area.current?.focus();
    if (draft?.kind === 'edit') setText(draft.message.text ?? '');
  }, [draft]);

  useEffect(() => {
    // A phone would open its keyboard.
    if (matchMedia('(hover: hover)').matches) area.current?.focus();
  }, []);

  useEffect(() => {
    const { current } = area;
    if (!current) return;
    current.style.height = 'auto';
    current.style.height = `${Math.min(current.scrollHeight, 180)}px`;
  }, [text]);

  function change(next: string) {
    setText(next);
    if (editing) return;
    tellTyping(next !== '');
    if (next === '') localStorage.removeItem(key);
    else localStorage.setItem(key, next);
  }

  function leave() {
    onDraft(null);
    setText(localStorage.getItem(key) ?? '');
  }

  async function submit() {
    const said = text.trim();
    if (said === '' || count > MOST) return;
    if (editing) {
      if (await onEdit(editing, said)) leave();
      return;
    }
    const mentionIds = (members.get(chatId) ?? [])
      .filter(({ user }) => user.id !== userId && said.includes(`@${user.name}`))
      .map(({ user }) => user.id)
      .slice(0, 50);
    const replyToId = draft?.message.id ?? null;
    setText('');
    await queue.add(chatId, said, { replyToId, mentionIds });
    // Only now it cannot be lost any more.
    localStorage.removeItem(key);
    tellTyping(false);
    onDraft(null);
    onSent();
    area.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.nativeEvent.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      void submit();
    } else if (event.key === 'Escape' && draft) leave();
    else if (event.key === 'ArrowUp' && text === '') {
      event.preventDefault();
      onEditLast();
    }
  }

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {draft && (
        <div className="draft">
          <span className="draft-text">
            <b>{draft.kind === 'edit' ? 'Edit message' : <>Reply to <Name of={draft.message.sender} /></>}</b>
            <bdi>{(draft.message.text ?? '').slice(0, 120)}</bdi>
          </span>
          <IconButton icon="close" label="Cancel" onPress={leave} />
        </div>
      )}
      <div className="composer-line">
        <textarea
          ref={area}
          rows={1}
          aria-label="Message"
          placeholder="Write a message"
          dir="auto"
          value={text}
          onChange={({ target }) => change(target.value)}
          onKeyDown={onKeyDown}
        />
        {count > MOST - 200 && (
          <span className={`count ${count > MOST ? 'is-over' : ''}`} role="status">
            {MOST - count}
          </span>
        )}
        <IconButton
          icon="send"
          label={editing ? 'Save' : 'Send'}
          className="send"
          isDisabled={text.trim() === '' || count > MOST}
          onPress={() => void submit()}
        />
      </div>
    </form>
  );
}
