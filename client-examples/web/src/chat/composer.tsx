// Where a message is written. The text stays on the device until it is sent.
import { useEffect, useId, useMemo, useRef, useState, type ClipboardEvent, type KeyboardEvent } from 'react';

import { KeptText, type Draft } from './kept-text.js';
import { matching, mentionedIn, wordAt } from './mentions.js';
import { previewOf } from './preview.js';
import { AttachButton, ChosenFiles, useChosen, useDrop } from '../files/attach.js';
import { Face } from '../files/face.js';
import { FindMembersDocument } from '../generated/graphql.js';
import { useTellTyping } from '../live/live.js';
import type { Chat, Message } from '../replica/database.js';
import { useFeature } from '../session/features.js';
import { IconButton, Name, Problem, isTouched, useAccount, useAccountState, useRested } from '../ui/parts.js';

interface Person {
  readonly id: string;
  readonly name: string;
}

interface ComposerProps {
  readonly chat: Chat;
  readonly draft: Draft | null;
  readonly onDraft: (draft: Draft | null) => void;
  readonly onEdit: (message: Message, text: string, mentionIds: readonly string[]) => void;
  readonly onSent: () => void;
  readonly onEditLast: () => void;
}

const MOST = 4_000;

export function Composer({ chat, draft, onDraft, onEdit, onSent, onEditLast }: ComposerProps) {
  const { queue, userId } = useAccount();
  const chatId = chat.id;
  const kept = useMemo(() => new KeptText(userId, chatId), [userId, chatId]);
  const [text, setText] = useState(() => kept.message);
  const [caret, setCaret] = useState(0);
  const area = useRef<HTMLTextAreaElement>(null);
  const tellTyping = useTellTyping(chatId);
  const chosen = useChosen(chatId);
  const takesFiles = useFeature('attachments');
  const editing = draft?.kind === 'edit' ? draft.message : null;
  const count = [...text].length;
  const mayAttach = takesFiles && !editing;
  const files = editing ? [] : chosen.files;
  const isEmpty = text.trim() === '' && files.length === 0 && !(editing && editing.attachments.length > 0);
  const mentions = useMentions(chat, text, caret);

  const isDropping = useDrop((dropped) => mayAttach && void chosen.add(dropped));

  // Not with each change of the message: what is being written stays.
  const opened = draft && `${draft.kind} ${draft.message.id}`;
  const drafted = useRef(draft);
  drafted.current = draft;
  const wasEditing = useRef<boolean>(undefined);
  useEffect(() => {
    const { current } = drafted;
    const { edit } = kept;
    if (current && wasEditing.current !== undefined) area.current?.focus();
    const isEditing = current?.kind === 'edit';
    if (isEditing) setText(edit?.message.id === current.message.id ? edit.text : (current.message.text ?? ''));
    else kept.edit = null;
    // What was typed for the next message goes on.
    if (!isEditing && wasEditing.current) setText(kept.message);
    wasEditing.current = isEditing;
    if (current?.kind === 'reply') kept.reply = current.message;
  }, [opened, kept]);

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
    if (editing) {
      kept.edit = { message: editing, text: next };
      return;
    }
    tellTyping(next !== '');
    kept.message = next;
  }

  function leave() {
    if (editing) kept.edit = null;
    else kept.reply = null;
    onDraft(kept.draft);
  }

  async function submit() {
    const said = text.trim();
    if (isEmpty || count > MOST || chosen.isBusy) return;
    if (editing) {
      if (said !== editing.text) onEdit(editing, said, mentions.inText(said, editing.mentions));
      leave();
      return;
    }
    const mentionIds = mentions.inText(said, []);
    const replyToId = draft?.message.id ?? null;
    const fileIds = files.map(({ id }) => id);
    setText('');
    chosen.leave(fileIds);
    try {
      await queue.add(chatId, said, { replyToId, mentionIds, fileIds });
    } catch {
      // The device is full, or the database is gone: nothing is lost that was typed.
      setText((next) => (next === '' ? text : next));
      chosen.restore();
      return;
    }
    // Only now it cannot be lost any more. What was typed meanwhile stays.
    if (kept.message.trim() === said) kept.message = '';
    if (kept.message === '') tellTyping(false);
    if (kept.reply?.id === replyToId) kept.reply = null;
    onDraft(null);
    onSent();
    area.current?.focus();
  }

  function complete(person: Person) {
    const { from } = mentions;
    if (from === null) return;
    const said = `${text.slice(0, from)}@${person.name} `;
    mentions.choose(person);
    change(said + text.slice(caret));
    setCaret(said.length);
    requestAnimationFrame(() => area.current?.setSelectionRange(said.length, said.length));
    area.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent) {
    // Enter also takes over what an input method offers. Safari says so by 229 alone, as the composition has ended by then.
    if (event.nativeEvent.isComposing || event.keyCode === 229) return;
    if (mentions.people.length > 0 && mentions.onKeyDown(event, complete)) return;
    // On a phone it makes a line, as there is no other way to one; the button sends.
    const isSending = isTouched() ? event.ctrlKey || event.metaKey : !event.shiftKey;
    if (event.key === 'Enter' && isSending) {
      event.preventDefault();
      void submit();
    } else if (event.key === 'Escape' && draft) leave();
    else if (event.key === 'ArrowUp' && text === '') {
      event.preventDefault();
      onEditLast();
    }
  }

  function onPaste(event: ClipboardEvent) {
    const pasted = [...event.clipboardData.files];
    if (pasted.length === 0 || !mayAttach) return;
    // A table of a spreadsheet comes as text and as an image: the text is meant.
    if (event.clipboardData.getData('text/plain') !== '') return;
    event.preventDefault();
    void chosen.add(pasted);
  }

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {isDropping && mayAttach && (
        <div className="drop" aria-hidden="true">
          <p>Drop images or files to send them to {chat.kind === 'DIRECT' ? '' : 'the group '}“{chat.title}”</p>
        </div>
      )}
      {draft && (
        <div className="draft">
          <span className="draft-text">
            <b>{draft.kind === 'edit' ? 'Edit message' : <>Reply to <Name of={draft.message.sender} /></>}</b>
            <bdi>{previewOf(draft.message, userId).slice(0, 120)}</bdi>
          </span>
          <IconButton icon="close" label="Cancel" onPress={leave} />
        </div>
      )}
      {files.length > 0 && <ChosenFiles files={files} onRemove={chosen.remove} />}
      <Problem text={chosen.problem ?? (editing?.deletedAt ? 'This message has been deleted meanwhile.' : null)} />
      {mentions.people.length > 0 && (
        <ul className="mentions" role="listbox" id={mentions.listId} aria-label="People to mention">
          {mentions.people.map((person, at) => (
            <li
              key={person.id}
              id={`${mentions.listId}-${at}`}
              className={`row ${at === mentions.at ? 'is-open' : ''}`}
              role="option"
              aria-selected={at === mentions.at}
              // The text keeps the focus.
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => complete(person)}
            >
              <Face id={person.id} name={person.name} />
              <Name of={person} />
            </li>
          ))}
        </ul>
      )}
      <div className="composer-line">
        {takesFiles && <AttachButton isDisabled={!mayAttach} onFiles={(list) => void chosen.add(list)} />}
        <textarea
          ref={area}
          rows={1}
          aria-label="Message"
          enterKeyHint={isTouched() ? 'enter' : 'send'}
          placeholder={files.length > 0 ? 'Add a caption' : 'Write a message'}
          dir="auto"
          aria-autocomplete="list"
          aria-controls={mentions.people.length > 0 ? mentions.listId : undefined}
          aria-activedescendant={mentions.people.length > 0 ? `${mentions.listId}-${mentions.at}` : undefined}
          value={text}
          onChange={({ target }) => {
            setCaret(target.selectionStart);
            change(target.value);
          }}
          onSelect={({ currentTarget }) => setCaret(currentTarget.selectionStart)}
          onFocus={() => mentions.setFocused(true)}
          onBlur={() => mentions.setFocused(false)}
          onKeyDown={onKeyDown}
          onPaste={onPaste}
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
          preventFocusOnPress
          isDisabled={isEmpty || count > MOST || chosen.isBusy}
          onPress={() => void submit()}
        />
      </div>
    </form>
  );
}

/** The people who fit the word that is being written behind an “@”. */
function useMentions(chat: Chat, text: string, caret: number) {
  const { connection, userId } = useAccount();
  const { members } = useAccountState();
  const [at, setAt] = useState(0);
  const [isFocused, setFocused] = useState(false);
  /** Where the word stands of which the user has closed the list. */
  const [closedAt, setClosedAt] = useState<number | null>(null);
  const [found, setFound] = useState<readonly Person[]>([]);
  const picked = useRef(new Map<string, Person>());
  const listId = useId();
  const kept = members.get(chat.id);
  const known: readonly Person[] = chat.peer ? [chat.peer] : (kept ?? []).map(({ user }) => user);
  const written = wordAt(text, caret);
  const word = written?.word ?? '';
  // Who comes back to the text goes on where they were.
  const from = written && isFocused && written.from !== closedAt ? written.from : null;
  const isLarge = chat.kind === 'GROUP' && chat.memberCount > (kept?.length ?? 0);
  const wanted = useRested(isLarge && from !== null ? word : '', 150);

  // Of a large group not all members are on the device.
  useEffect(() => {
    if (wanted === '') return setFound([]);
    let isOver = false;
    connection.query(FindMembersDocument, { chatId: chat.id, search: wanted }).then(
      (answer) => isOver || setFound((answer.chat?.members.nodes ?? []).map(({ user }) => user)),
      () => {},
    );
    return () => void (isOver = true);
  }, [connection, chat.id, wanted]);

  const all = [...new Map([...known, ...found].map((person) => [person.id, person])).values()];
  const people =
    from === null ? [] : matching(all.filter(({ id }) => id !== userId), word).filter(({ name }) => name !== word.trim());
  const chosen = Math.min(at, Math.max(0, people.length - 1));
  useEffect(() => setAt(0), [word]);
  useEffect(() => {
    if (!written) setClosedAt(null);
  }, [written === null]);

  return {
    people,
    from,
    listId,
    at: chosen,
    choose: (person: Person) => void picked.current.set(person.id, person),
    setFocused,
    /** Whom a text mentions: members, who was chosen here, and who was mentioned before. */
    inText: (said: string, before: readonly Person[]) => {
      const others = [...known, ...picked.current.values(), ...before].filter(({ id }) => id !== userId);
      return mentionedIn(said, [...new Map(others.map((person) => [person.id, person])).values()]);
    },
    /** True where the key was one for the list. */
    onKeyDown: (event: KeyboardEvent, complete: (person: Person) => void): boolean => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const person = people[chosen];
      if (step) setAt((chosen + step + people.length) % people.length);
      else if ((event.key === 'Enter' || event.key === 'Tab') && person) complete(person);
      else if (event.key === 'Escape') setClosedAt(from);
      else return false;
      event.preventDefault();
      event.stopPropagation();
      return true;
    },
  };
}
