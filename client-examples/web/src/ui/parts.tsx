// Small parts that all features use.
import { createContext, useContext, useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from 'react';
import { Button, Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';

import { Boundary } from './boundary.js';
import { mixesAlphabets, shownName } from './names.js';
import { sentenceOf } from './sentences.js';
import type { Account } from '../account.js';
import type { AccountState } from '../replica/state.js';

const AccountContext = createContext<Account | null>(null);
export const AccountProvider = AccountContext.Provider;

export function useAccount(): Account {
  const account = useContext(AccountContext);
  if (!account) throw new Error('Nobody is signed in.');
  return account;
}

export function useAccountState(): AccountState {
  const { state } = useAccount();
  return useSyncExternalStore(state.subscribe, state.snapshot);
}

/** A name as text of its own: its direction does not reach what stands beside it. One that may be dressed up is marked. */
export function Name({ of }: { of: { readonly name: string } | null | undefined }) {
  const shown = shownName(of?.name ?? '');
  if (!mixesAlphabets(shown)) return <bdi className="name">{shown}</bdi>;
  return (
    <bdi className="name is-mixed" title="This name has letters of several alphabets">
      {shown}
      <span className="hidden"> (letters of several alphabets)</span>
    </bdi>
  );
}

interface AvatarProps {
  readonly id: string;
  readonly name: string;
  readonly src?: string;
  readonly isOnline?: boolean;
  readonly onError?: () => void;
}

/** A picture, or the first letters of a name on a colour of its own. */
export function Avatar({ id, name, src, isOnline, onError }: AvatarProps) {
  const [broken, setBroken] = useState<string | null>(null);
  let sum = 0;
  for (const char of id) sum = (sum * 31 + char.charCodeAt(0)) % 360;
  const words = name.trim() === '' ? [] : shownName(name).split(' ');
  const letters = words.slice(0, 2).map((word) => [...word][0] ?? '').join('');
  const fail = () => {
    setBroken(src ?? null);
    onError?.();
  };
  return (
    <span className={`avatar hue-${Math.floor(sum / 45)}`} aria-hidden="true">
      {letters.toUpperCase()}
      {src && src !== broken && <img src={src} alt="" decoding="async" draggable={false} onError={fail} />}
      {isOnline && <span className="online-dot" />}
    </span>
  );
}

const ICONS = {
  back: 'M15 5l-7 7 7 7',
  send: 'M4 12l16-8-6 16-3-6.5z',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  reply: 'M10 8L5 12l5 4M5 12h9a5 5 0 0 1 5 5v1',
  smile: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM8.5 14.5a4.5 4.5 0 0 0 7 0M9 10h.01M15 10h.01',
  close: 'M6 6l12 12M18 6L6 18',
  group: 'M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 19a6 6 0 0 1 12 0M16 5.2a3 3 0 0 1 0 5.6M17.5 13.5A6 6 0 0 1 21 19',
  muted: 'M6 9v5l-2 3h13M18 13V9a6 6 0 0 0-9-5.2M10 20h4M4 4l16 16',
  down: 'M12 5v14M6 13l6 6 6-6',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2',
  one: 'M5 13l4 4L19 7',
  two: 'M2 13l4 4L15 7M10.5 16l1 1L21 7',
  attach: 'M8 12.5l6.5-6.5a3.5 3.5 0 0 1 5 5l-8.5 8.5a5.5 5.5 0 0 1-8-7.8L11 4',
  pin: 'M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6',
  file: 'M7 3h7l5 5v13H7zM14 3v5h5',
  save: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5',
  next: 'M9 5l7 7-7 7',
  zoom: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l5 5M11 8v6M8 11h6',
  shield: 'M12 3l8 3v6c0 5-3.5 7.5-8 9-4.5-1.5-8-4-8-9V6z',
  failed: 'M12 8v5M12 16h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z',
} as const;

export const Icon = ({ name }: { name: keyof typeof ICONS }) => (
  <svg className="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d={ICONS[name]} />
  </svg>
);

interface IconButtonProps {
  readonly icon: keyof typeof ICONS;
  readonly label: string;
  readonly onPress?: () => void;
  readonly isDisabled?: boolean;
  /** Leaves the focus, and with it a phone's keyboard, where it is. */
  readonly preventFocusOnPress?: boolean;
  readonly className?: string;
}
export const IconButton = ({ icon, label, className = '', ...rest }: IconButtonProps) => (
  <Button className={`icon-button ${className}`} aria-label={label} {...rest}>
    <Icon name={icon} />
  </Button>
);

interface SheetProps {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly isWide?: boolean;
}
/** A dialog; on a phone it takes the whole width. */
export const Sheet = ({ title, isOpen, onClose, children, isWide = false }: SheetProps) => (
  <ModalOverlay className="overlay" isDismissable isOpen={isOpen} onOpenChange={(open) => open || onClose()}>
    <Modal className={`modal ${isWide ? 'is-wide' : ''}`}>
      <Dialog className="dialog">
        <header className="dialog-head">
          <Heading slot="title">{title}</Heading>
          <IconButton icon="close" label="Close" onPress={onClose} />
        </header>
        <Boundary what="This part of the page">{children}</Boundary>
      </Dialog>
    </Modal>
  </ModalOverlay>
);

interface QuestionProps {
  readonly title: string;
  /** What the button says that does it. */
  readonly yes: string;
  readonly no?: string;
  readonly isOpen: boolean;
  readonly onYes: () => void;
  readonly onClose: () => void;
  /** Called behind a yes when the dialog is closed, ahead of the focus going back: what had it may be gone. */
  readonly onDone?: () => void;
  readonly children: ReactNode;
}
/** Asks ahead of what cannot be undone. Enter alone does nothing of it. */
export const Question = (props: QuestionProps) => (
  <Sheet title={props.title} isOpen={props.isOpen} onClose={props.onClose}>
    <Asked {...props} />
  </Sheet>
);

function Asked({ yes, no = 'Cancel', onYes, onClose, onDone, children }: QuestionProps) {
  const isDone = useRef(false);
  const done = useRef(onDone);
  useEffect(
    () => () => {
      if (isDone.current) done.current?.();
    },
    [],
  );
  const answer = () => {
    isDone.current = true;
    onClose();
    onYes();
  };
  return (
    <div className="details">
      {children}
      <div className="actions">
        <Button className="primary is-danger" onPress={answer}>
          {yes}
        </Button>
        <Button className="secondary" autoFocus onPress={onClose}>
          {no}
        </Button>
      </div>
    </div>
  );
}

/** What went wrong, where screen readers hear it. */
export const Problem = ({ text }: { text: string | null }) => (
  <p className="problem" role="alert">
    {text}
  </p>
);

/** Runs what a button does, and tells what went wrong. */
export function useRun() {
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  async function run(action: () => Promise<unknown>): Promise<boolean> {
    setBusy(true);
    setProblem(null);
    try {
      await action();
      return true;
    } catch (error) {
      setProblem(sentenceOf(error));
      return false;
    } finally {
      setBusy(false);
    }
  }
  return { run, problem, setProblem, isBusy };
}

/** Whether this is a phone or the like: its keyboard is on the screen, and has no Shift beside Enter. */
export const isTouched = (): boolean => matchMedia('(pointer: coarse) and (hover: none)').matches;

/** A number for a badge. */
export const countOf = (count: number): string => (count > 99 ? '99+' : String(count));

/** A value that follows another one when it has rested for a moment. */
export function useRested<Value>(value: Value, milliseconds: number): Value {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return rested;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

/** Days of this year without it, and others with it. */
function daysBy(style: Intl.DateTimeFormatOptions): (day: Date) => string {
  const near = new Intl.DateTimeFormat(undefined, style);
  const far = new Intl.DateTimeFormat(undefined, { ...style, year: 'numeric' });
  return (day) => (day.getFullYear() === new Date().getFullYear() ? near : far).format(day);
}
const nameOfDay = daysBy({ weekday: 'long', day: 'numeric', month: 'long' });
const shortNameOfDay = daysBy({ day: 'numeric', month: 'short' });

export const timeOf = (at: string | number): string => TIME.format(new Date(at));
export const dayOf = (at: string | number): string => nameOfDay(new Date(at));
/** The time of today, else the day. */
export const shortTimeOf = (at: string): string =>
  new Date(at).toDateString() === new Date().toDateString() ? timeOf(at) : shortNameOfDay(new Date(at));
