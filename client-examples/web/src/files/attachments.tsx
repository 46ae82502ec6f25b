// The images and files of a message. Each image has its place before it has come: nothing moves.
import { useEffect, useState, type CSSProperties } from 'react';
import { Button, ProgressBar } from 'react-aria-components';

import { usePicture } from './face.js';
import { keepLocal, localOf } from './local.js';
import { bytesOf, isImage, sizeIn } from './prepare.js';
import type { Attachment, PendingFile } from '../replica/database.js';
import { shownFile } from '../ui/names.js';
import { Icon, useAccount, useAccountState } from '../ui/parts.js';

const ONE = { width: 360, height: 320 };
const MANY = { width: 172, height: 172 };

interface AttachmentsProps {
  readonly attachments: readonly Attachment[];
  readonly onOpen: (attachment: Attachment) => void;
}

export function Attachments({ attachments, onOpen }: AttachmentsProps) {
  const images = attachments.filter(({ kind }) => kind === 'IMAGE');
  const files = attachments.filter(({ kind }) => kind !== 'IMAGE');
  return (
    <>
      {images.length > 0 && (
        <div className={`images ${images.length > 1 ? 'is-many' : ''}`}>
          {images.map((image) => (
            <ImageBox key={image.id} image={image} isAlone={images.length === 1} onOpen={() => onOpen(image)} />
          ))}
        </div>
      )}
      {files.map((file) => (
        <FileLine key={file.id} file={file} />
      ))}
    </>
  );
}

function boxOf(width: number | null, height: number | null, isAlone: boolean): CSSProperties {
  if (!isAlone) return { width: MANY.width, aspectRatio: '1' };
  const size = sizeIn(width, height, ONE);
  // On a narrow screen the box keeps its shape.
  return { width: size.width, aspectRatio: `${size.width} / ${size.height}` };
}

function ImageBox({ image, isAlone, onOpen }: { image: Attachment; isAlone: boolean; onOpen: () => void }) {
  const { shown, onError } = usePicture(image);
  const [isThere, setThere] = useState(false);
  const src = shown?.thumbnailUrl ?? shown?.url;
  const local = useBlobUrl(localOf(image.id));
  return (
    <Button
      className={`image ${isThere ? 'is-there' : ''}`}
      style={boxOf(image.width, image.height, isAlone)}
      aria-label={`Open the image ${shownFile(image.fileName)}`}
      onPress={onOpen}
    >
      {local && !isThere && <img className="is-local" src={local} alt="" draggable={false} />}
      {src && (
        <img
          src={src}
          alt=""
          decoding="async"
          draggable={false}
          onLoad={() => setThere(true)}
          onError={onError}
        />
      )}
    </Button>
  );
}

function FileLine({ file }: { file: Attachment }) {
  const { shown, onError } = usePicture(file);
  const { pictures } = useAccount();
  const name = shownFile(file.fileName);
  return (
    <a
      className="file"
      href={shown?.url}
      download={name}
      onClick={(event) => {
        // A page that was left open for hours.
        if (shown && Date.parse(shown.urlExpiresAt) > Date.now()) return;
        event.preventDefault();
        pictures.renew(file.id);
        onError();
      }}
    >
      <span className="file-icon">
        <Icon name="file" />
      </span>
      <span className="file-name">
        <span className="hidden">Download</span>
        <bdi>{name}</bdi>
        <span className="quiet">{bytesOf(file.byteSize)}</span>
      </span>
      <Icon name="save" />
    </a>
  );
}

/** The URL of bytes that lie on this device, for as long as it is shown. */
export function useBlobUrl(blob: Blob | undefined): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!blob) return;
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url;
}

/** The bytes of a file that is chosen or waits, once they are read. */
export function useKeptBlob(id: string | null): Blob | undefined {
  const { queue } = useAccount();
  const [blob, setBlob] = useState<Blob>();
  useEffect(() => {
    if (id === null) return;
    let isOver = false;
    queue.blob(id).then(
      (found) => isOver || setBlob(found),
      () => {},
    );
    return () => void (isOver = true);
  }, [queue, id]);
  return blob;
}

/** Files that are on their way. */
export function PendingFiles({ files }: { files: readonly PendingFile[] }) {
  const images = files.filter(({ type }) => isImage(type));
  return (
    <>
      {images.length > 0 && (
        <div className={`images ${images.length > 1 ? 'is-many' : ''}`}>
          {images.map((file) => (
            <PendingImage key={file.id} file={file} isAlone={images.length === 1} />
          ))}
        </div>
      )}
      {files
        .filter(({ type }) => !isImage(type))
        .map((file) => (
          <span key={file.id} className="file">
            <span className="file-icon">
              <Icon name="file" />
            </span>
            <span className="file-name">
              <bdi>{shownFile(file.name)}</bdi>
              <span className="quiet">{bytesOf(file.byteSize)}</span>
              <Progress file={file} />
            </span>
          </span>
        ))}
    </>
  );
}

function PendingImage({ file, isAlone }: { file: PendingFile; isAlone: boolean }) {
  const blob = useKeptBlob(file.id);
  const attachmentId = file.upload?.attachmentId;
  useEffect(() => {
    if (attachmentId && blob) keepLocal(attachmentId, blob);
  }, [attachmentId, blob]);
  const url = useBlobUrl(blob);
  return (
    <span className="image is-there" style={boxOf(file.width, file.height, isAlone)}>
      {url && <img src={url} alt={shownFile(file.name)} draggable={false} />}
      <Progress file={file} />
    </span>
  );
}

function Progress({ file }: { file: PendingFile }) {
  const { progress } = useAccountState();
  const done = file.upload?.doneAt ? 1 : (progress.get(file.id) ?? 0);
  return (
    <ProgressBar className="progress" aria-label={`Upload of ${shownFile(file.name)}`} value={Math.round(done * 100)}>
      {({ percentage }) => <span className="progress-bar" style={{ width: `${percentage ?? 0}%` }} />}
    </ProgressBar>
  );
}
