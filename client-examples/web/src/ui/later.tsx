// A part of the page that is loaded when it is first shown. Where it cannot be loaded, as without a network, that is
// said in its place, and the rest of the page goes on.
import { useEffect, useState, type ComponentType, type ReactNode } from 'react';
import { Button } from 'react-aria-components';

import { Boundary } from './boundary.js';

/** `waiting` stands in its place until it has come. */
export function later<Props extends object>(
  load: () => Promise<{ readonly default: ComponentType<Props> }>,
  waiting: ReactNode = null,
): ComponentType<Props> {
  let known: ComponentType<Props> | undefined;
  return function Later(props: Props) {
    const [Part, setPart] = useState(() => known);
    const [isMissing, setMissing] = useState(false);

    useEffect(() => {
      if (Part || isMissing) return;
      let isOver = false;
      load().then(
        (loaded) => {
          known = loaded.default;
          if (!isOver) setPart(() => known);
        },
        () => isOver || setMissing(true),
      );
      return () => void (isOver = true);
    }, [Part, isMissing]);

    const again = () => setMissing(false);
    useEffect(() => {
      addEventListener('online', again);
      return () => removeEventListener('online', again);
    }, []);

    if (Part) {
      return (
        <Boundary what="This part of the page">
          <Part {...props} />
        </Boundary>
      );
    }
    if (!isMissing) return waiting;
    return (
      <p className="problem" role="alert">
        This part of the page could not be loaded. <Button onPress={again}>Try again</Button>
      </p>
    );
  };
}

export const MOMENT = <p className="quiet waiting">One moment …</p>;
