// Chooses the picture of the viewer or of a group.
import { useRef } from 'react';
import { Button } from 'react-aria-components';

import { Face } from './face.js';
import { isImage, prepare } from './prepare.js';
import { courierOf } from '../outbox/courier.js';
import type { Attachment } from '../replica/database.js';
import { useFeature } from '../session/features.js';
import { Problem, useAccount, useRun } from '../ui/parts.js';

interface PictureFieldProps {
  readonly id: string;
  readonly name: string;
  readonly picture: Attachment | null;
  /** Sets the picture to an attachment; null takes it away. */
  readonly onPick: (attachmentId: string | null) => Promise<void>;
}

export function PictureField({ id, name, picture, onPick }: PictureFieldProps) {
  const { connection, pictures } = useAccount();
  const { run, problem, setProblem, isBusy } = useRun();
  const input = useRef<HTMLInputElement>(null);
  const isThere = useFeature('avatars');
  if (!isThere) return null;

  async function pick(file: File | undefined) {
    if (!file) return;
    try {
      const chosen = await prepare(file);
      if (!isImage(chosen.type)) return setProblem('This is no image that can be shown.');
      await run(async () => {
        const courier = courierOf(connection);
        const { attachmentId, url } = await courier.announce(chosen);
        await courier.put(url, chosen.blob, () => {}, AbortSignal.timeout(120_000));
        await onPick(attachmentId);
        pictures.renew(id);
      });
    } catch (error) {
      setProblem((error as Error).message);
    }
  }

  return (
    <div className="picture-field">
      <Face id={id} name={name} picture={picture} />
      <div>
        <div className="actions">
          <Button className="secondary" isDisabled={isBusy} onPress={() => input.current?.click()}>
            {isBusy ? 'One moment …' : picture ? 'Another picture' : 'Add a picture'}
          </Button>
          {picture && (
            <Button className="secondary" isDisabled={isBusy} onPress={() => void run(() => onPick(null))}>
              Remove
            </Button>
          )}
        </div>
        <Problem text={problem} />
      </div>
      <input
        ref={input}
        className="hidden"
        type="file"
        accept="image/*"
        tabIndex={-1}
        aria-hidden="true"
        onChange={({ target }) => {
          void pick(target.files?.[0]);
          target.value = '';
        }}
      />
    </div>
  );
}
