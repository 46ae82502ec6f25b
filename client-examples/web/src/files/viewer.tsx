// An image in full size, and the others of the chat beside it.
import { useEffect, useRef, useState, type KeyboardEvent, type MouseEvent } from 'react';
import { Dialog, Modal, ModalOverlay } from 'react-aria-components';

import { usePicture } from './face.js';
import { bytesOf } from './prepare.js';
import type { Attachment } from '../replica/database.js';
import { shownFile } from '../ui/names.js';
import { IconButton } from '../ui/parts.js';

interface ViewerProps {
  readonly images: readonly Attachment[];
  readonly openId: string;
  readonly onClose: () => void;
}

export default function Viewer({ images, openId, onClose }: ViewerProps) {
  const [id, setId] = useState(openId);
  const at = images.findIndex((image) => image.id === id);
  const image = images[at];
  // It was deleted while it was looked at.
  useEffect(() => {
    if (!image) onClose();
  }, [image, onClose]);
  if (!image) return null;
  const go = (step: number) => {
    const next = images[at + step];
    if (next) setId(next.id);
  };
  return (
    <ModalOverlay className="viewer" isDismissable isOpen onOpenChange={(open) => open || onClose()}>
      <Modal className="viewer-modal">
        <Dialog className="viewer-dialog" aria-label={`Image ${at + 1} of ${images.length}`}>
          <Shown
            key={image.id}
            image={image}
            place={`${at + 1} of ${images.length}`}
            onClose={onClose}
            onNext={at < images.length - 1 ? () => go(1) : null}
            onPrevious={at > 0 ? () => go(-1) : null}
          />
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

interface ShownProps {
  readonly image: Attachment;
  readonly place: string;
  readonly onClose: () => void;
  readonly onNext: (() => void) | null;
  readonly onPrevious: (() => void) | null;
}

function Shown({ image, place, onClose, onNext, onPrevious }: ShownProps) {
  const { shown, onError } = usePicture(image);
  const [isZoomed, setZoomed] = useState(false);
  const [isThere, setThere] = useState(false);
  const stage = useRef<HTMLDivElement>(null);
  const name = shownFile(image.fileName);
  const { width, height } = image;

  useEffect(() => stage.current?.focus(), []);

  function zoom(event?: MouseEvent) {
    const { current } = stage;
    if (!current) return;
    const { left, top, width, height } = current.getBoundingClientRect();
    const x = event ? (event.clientX - left) / width : 0.5;
    const y = event ? (event.clientY - top) / height : 0.5;
    setZoomed(!isZoomed);
    // What was pressed stays in sight.
    requestAnimationFrame(() =>
      current.scrollTo((current.scrollWidth - width) * x, (current.scrollHeight - height) * y),
    );
  }

  function onKeyDown(event: KeyboardEvent) {
    const step = 120;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (by && isZoomed && !event.shiftKey) stage.current?.scrollBy(by[0] ?? 0, by[1] ?? 0);
    else if (event.key === 'ArrowRight') onNext?.();
    else if (event.key === 'ArrowLeft') onPrevious?.();
    else if (['Enter', ' ', '+', '-', 'z'].includes(event.key) && event.target === stage.current) zoom();
    else return;
    event.preventDefault();
  }

  return (
    <div className="viewer-all" onKeyDown={onKeyDown}>
      <header className="viewer-head">
        <span className="viewer-name">
          <bdi>{name}</bdi>
          <span>
            {place} · {width && height ? `${width} × ${height} · ` : ''}
            {bytesOf(image.byteSize)}
          </span>
        </span>
        <IconButton icon="zoom" label={isZoomed ? 'Fit to the screen' : 'Original size'} onPress={() => zoom()} />
        <a className="icon-button" href={shown?.url} download={name} aria-label={`Download ${name}`}>
          <svg className="icon" viewBox="0 0 24 24" aria-hidden="true">
            <path d="M12 4v11M7 11l5 5 5-5M5 20h14" />
          </svg>
        </a>
        <IconButton icon="close" label="Close" onPress={onClose} />
      </header>
      <div
        ref={stage}
        className={`stage ${isZoomed ? 'is-zoomed' : ''}`}
        tabIndex={0}
        role="group"
        aria-label={`${name}. Enter shows the original size, the arrows the other images.`}
        onClick={zoom}
      >
        {shown?.thumbnailUrl && !isThere && !isZoomed && <img className="stage-soon" src={shown.thumbnailUrl} alt="" />}
        {shown && (
          <img
            className={isThere ? 'is-there' : ''}
            src={shown.url}
            alt={name}
            {...(width && height ? { width, height } : {})}
            onLoad={() => setThere(true)}
            onError={onError}
            draggable={false}
          />
        )}
      </div>
      {onPrevious && <IconButton icon="back" label="Previous image" className="viewer-previous" onPress={onPrevious} />}
      {onNext && <IconButton icon="next" label="Next image" className="viewer-next" onPress={onNext} />}
    </div>
  );
}
