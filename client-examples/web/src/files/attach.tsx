// What is chosen to be sent: by the button, by dropping it on the chat, or by pasting it.
import { useEffect, useRef, useState } from 'react';

import { useBlobUrl, useKeptBlob } from './attachments.js';
import { bytesOf, isImage, prepare } from './prepare.js';
import { MOST_FILES } from '../outbox/drafts.js';
import type { PendingFile } from '../replica/database.js';
import { shownFile } from '../ui/names.js';
import { Icon, IconButton, useAccount, useAccountState } from '../ui/parts.js';

const FULL = 'This browser has no room for what you want to send. Free some space, and try again.';
const NOTHING: readonly PendingFile[] = [];

/** What is chosen in a chat and not sent: the same in all tabs, until it is sent or taken back. */
export function useChosen(chatId: string) {
  const { drafts } = useAccount();
  const kept = useAccountState().drafts.get(chatId) ?? NOTHING;
  const [leaving, setLeaving] = useState<readonly string[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);

  async function add(list: readonly File[]) {
    setProblem(null);
    setBusy(true);
    for (const file of list) {
      try {
        const chosen = await prepare(file);
        if (await drafts.add(chatId, chosen)) continue;
        setProblem(`At most ${MOST_FILES} files go with one message.`);
        break;
      } catch (error) {
        setProblem(error instanceof DOMException ? FULL : (error as Error).message);
      }
    }
    setBusy(false);
  }

  return {
    files: leaving.length === 0 ? kept : kept.filter(({ id }) => !leaving.includes(id)),
    problem,
    isBusy,
    add,
    remove: (id: string) => void drafts.remove(chatId, id).catch(() => setProblem(FULL)),
    /** Hides those that are being sent: they go from here when they are in the queue. */
    leave: (ids: readonly string[]) => {
      setProblem(null);
      setLeaving((before) => [...before, ...ids]);
    },
    restore: () => {
      setProblem(FULL);
      setLeaving([]);
    },
  };
}

export function ChosenFiles({ files, onRemove }: { files: readonly PendingFile[]; onRemove: (id: string) => void }) {
  return (
    <ul className="chosen" aria-label="To be sent">
      {files.map((file) => (
        <li key={file.id} className={isImage(file.type) ? 'is-image' : ''}>
          <ChosenFile file={file} />
          <IconButton icon="close" label={`Remove ${shownFile(file.name)}`} onPress={() => onRemove(file.id)} />
        </li>
      ))}
    </ul>
  );
}

function ChosenFile({ file }: { file: PendingFile }) {
  const url = useBlobUrl(useKeptBlob(isImage(file.type) ? file.id : null));
  if (isImage(file.type)) return url ? <img src={url} alt={shownFile(file.name)} /> : null;
  return (
    <span className="file">
      <span className="file-icon">
        <Icon name="file" />
      </span>
      <span className="file-name">
        <bdi>{shownFile(file.name)}</bdi>
        <span className="quiet">{bytesOf(file.byteSize)}</span>
      </span>
    </span>
  );
}

/** Opens the system's dialog for files. */
export function AttachButton({ onFiles, isDisabled }: { onFiles: (files: File[]) => void; isDisabled: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <IconButton
        icon="attach"
        label="Attach images or files"
        className="attach"
        isDisabled={isDisabled}
        onPress={() => input.current?.click()}
      />
      <input
        ref={input}
        className="hidden"
        type="file"
        multiple
        tabIndex={-1}
        aria-hidden="true"
        onChange={({ target }) => {
          onFiles([...(target.files ?? [])]);
          target.value = '';
        }}
      />
    </>
  );
}

const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes('Files') ?? false;

/** Without it the browser leaves the page for a file that is dropped on it. */
export function useStay(): void {
  useEffect(() => {
    const stay = (event: DragEvent) => hasFiles(event) && event.preventDefault();
    for (const name of ['dragover', 'drop'] as const) addEventListener(name, stay);
    return () => {
      for (const name of ['dragover', 'drop'] as const) removeEventListener(name, stay);
    };
  }, []);
}

/** Whether files are being dragged over the page; dropped ones go to `onFiles`. */
export function useDrop(onFiles: (files: File[]) => void): boolean {
  const [isOver, setOver] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    let depth = 0;
    const move = (step: number) => (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth + step);
      setOver(depth > 0);
    };
    const enter = move(1);
    const leave = move(-1);
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth = 0;
      setOver(false);
      if (!document.querySelector('[role=dialog]')) take.current([...(event.dataTransfer?.files ?? [])]);
    };
    const all = { dragenter: enter, dragleave: leave, drop };
    for (const [name, listener] of Object.entries(all)) addEventListener(name, listener as EventListener);
    return () => {
      for (const [name, listener] of Object.entries(all)) removeEventListener(name, listener as EventListener);
    };
  }, []);
  return isOver;
}
