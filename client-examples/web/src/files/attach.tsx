// What is chosen to be sent: by the button, by dropping it on the chat, or by pasting it.
import { useEffect, useRef, useState } from 'react';

import { useBlobUrl } from './attachments.js';
import { MOST_FILES, bytesOf, isImage, prepare } from './prepare.js';
import type { Chosen } from '../outbox/queue.js';
import { shownFile } from '../ui/names.js';
import { Icon, IconButton } from '../ui/parts.js';

/** What is chosen in each chat and not sent, as long as the page is open. */
const chosenIn = new Map<string, readonly Chosen[]>();

export function useChosen(chatId: string) {
  const [files, setFiles] = useState<readonly Chosen[]>(() => chosenIn.get(chatId) ?? []);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const now = useRef(files);
  now.current = files;

  function set(next: readonly Chosen[]) {
    now.current = next;
    if (next.length > 0) chosenIn.set(chatId, next);
    else chosenIn.delete(chatId);
    setFiles(next);
  }

  async function add(list: readonly File[]) {
    setProblem(null);
    setBusy(true);
    for (const file of list) {
      if (now.current.length >= MOST_FILES) {
        setProblem(`At most ${MOST_FILES} files go with one message.`);
        break;
      }
      try {
        const chosen = await prepare(file);
        set([...now.current, chosen]);
      } catch (error) {
        setProblem((error as Error).message);
      }
    }
    setBusy(false);
  }

  return {
    files,
    problem,
    isBusy,
    add,
    restore: (before: readonly Chosen[]) => {
      setProblem('This browser could not keep the message. Free some space, and send it again.');
      set([...before, ...now.current]);
    },
    remove: (id: string) => set(now.current.filter((file) => file.id !== id)),
    clear: () => {
      setProblem(null);
      set([]);
    },
  };
}

export function ChosenFiles({ files, onRemove }: { files: readonly Chosen[]; onRemove: (id: string) => void }) {
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

function ChosenFile({ file }: { file: Chosen }) {
  const url = useBlobUrl(isImage(file.type) ? file.blob : undefined);
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

/** Whether files are being dragged over the page; dropped ones go to `onFiles`. */
export function useDrop(onFiles: (files: File[]) => void): boolean {
  const [isOver, setOver] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    let depth = 0;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const move = (step: number) => (event: DragEvent) => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth + step);
      setOver(depth > 0);
    };
    const enter = move(1);
    const leave = move(-1);
    // Without it the browser would leave the page for the file.
    const over = (event: DragEvent) => hasFiles(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth = 0;
      setOver(false);
      if (!document.querySelector('[role=dialog]')) take.current([...(event.dataTransfer?.files ?? [])]);
    };
    const all = { dragenter: enter, dragleave: leave, dragover: over, drop };
    for (const [name, listener] of Object.entries(all)) addEventListener(name, listener as EventListener);
    return () => {
      for (const [name, listener] of Object.entries(all)) removeEventListener(name, listener as EventListener);
    };
  }, []);
  return isOver;
}
