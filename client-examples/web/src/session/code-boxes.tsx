// One box for each digit of a code. A pasted code fills them all; each digit moves on to the next box.
import { useEffect, useRef, type ClipboardEvent, type KeyboardEvent } from 'react';

interface CodeBoxesProps {
  readonly length: number;
  readonly value: string;
  readonly isDisabled: boolean;
  readonly onChange: (digits: string) => void;
  readonly onComplete: (digits: string) => void;
}

/** The digits of a text, also where it has spaces and words around them. */
export const digitsOf = (text: string): string => text.normalize('NFKC').replace(/\D/g, '');

export function CodeBoxes({ length, value, isDisabled, onChange, onComplete }: CodeBoxesProps) {
  const boxes = useRef<(HTMLInputElement | null)[]>([]);

  useEffect(() => {
    if (value === '' && !isDisabled) boxes.current[0]?.focus();
  }, [value, isDisabled]);

  function enter(digits: string) {
    const whole = digits.slice(0, length);
    onChange(whole);
    boxes.current[Math.min(whole.length, length - 1)]?.focus();
    if (whole.length === length) onComplete(whole);
  }

  function onKeyDown(event: KeyboardEvent, at: number) {
    if (event.key === 'Backspace') {
      event.preventDefault();
      const to = value[at] === undefined ? at - 1 : at;
      if (to < 0) return;
      onChange(value.slice(0, to));
      boxes.current[to]?.focus();
    } else if (event.key === 'ArrowLeft') boxes.current[at - 1]?.focus();
    else if (event.key === 'ArrowRight') boxes.current[at + 1]?.focus();
  }

  function onPaste(event: ClipboardEvent) {
    event.preventDefault();
    enter(digitsOf(event.clipboardData.getData('text')));
  }

  return (
    <fieldset className="code-boxes" disabled={isDisabled}>
      <legend>Code from the mail</legend>
      {Array.from({ length }, (_, at) => (
        <input
          key={at}
          ref={(box) => void (boxes.current[at] = box)}
          aria-label={`Digit ${at + 1} of ${length}`}
          inputMode="numeric"
          // Phones offer the code of a mail at the first box.
          autoComplete={at === 0 ? 'one-time-code' : 'off'}
          value={value[at] ?? ''}
          onFocus={(event) => event.target.select()}
          onKeyDown={(event) => onKeyDown(event, at)}
          onPaste={onPaste}
          onChange={({ target }) => {
            const typed = digitsOf(target.value);
            if (typed === '') return;
            const isMany = typed.length > 2;
            enter(isMany ? typed : value.slice(0, at) + typed.slice(-1) + value.slice(at + 1));
          }}
        />
      ))}
    </fieldset>
  );
}
