// Pictures of people, groups and messages, with URLs that are good.
import { useEffect, useState, useSyncExternalStore } from 'react';

import type { Attachment } from '../replica/database.js';
import { Avatar, useAccount } from '../ui/parts.js';
import './files.css';

interface FaceProps {
  /** A user's id; a group's, where `picture` is its own. */
  readonly id: string;
  readonly name: string;
  /** Undefined for a person: their picture is looked up. */
  readonly picture?: Attachment | null;
  readonly isOnline?: boolean;
}

/** The picture of a user or a group; their initials where there is none. */
export function Face({ id, name, picture, isOnline }: FaceProps) {
  const { pictures } = useAccount();
  const isPerson = picture === undefined;
  const found = useSyncExternalStore(pictures.subscribe, () => (isPerson ? pictures.get(id) : undefined));
  const { shown, onError } = usePicture(found ?? picture ?? null);
  useEffect(() => {
    if (isPerson) pictures.want(id);
  }, [pictures, isPerson, id]);
  const src = shown?.thumbnailUrl ?? shown?.url;
  return (
    <Avatar
      id={id}
      name={name}
      {...(src ? { src } : {})}
      {...(isOnline === undefined ? {} : { isOnline })}
      onError={() => (isPerson ? pictures.renew(id) : onError())}
    />
  );
}

/** An attachment with URLs that are good; null until there are some. */
export function usePicture(attachment: Attachment | null): {
  readonly shown: Attachment | null;
  readonly onError: () => void;
} {
  const { pictures } = useAccount();
  const id = attachment?.id ?? '';
  const [isGone, setGone] = useState(false);
  if (attachment) pictures.offer(attachment);
  const shown = useSyncExternalStore(pictures.subscribe, () => pictures.get(id)) ?? null;
  useEffect(() => {
    setGone(false);
    if (id !== '') pictures.want(id);
  }, [pictures, id]);
  const onError = () => {
    // Once more with another URL, and then no more.
    if (!isGone) pictures.renew(id);
    setGone(true);
  };
  return { shown, onError };
}
