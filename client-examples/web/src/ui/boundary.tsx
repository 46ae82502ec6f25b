// Catches what fails while a part of the page is drawn: that is said in its place, and the rest of the page goes on.
import { Component, type ReactNode } from 'react';
import { Button } from 'react-aria-components';

interface BoundaryProps {
  /** What is missing, as the first words of a sentence. */
  readonly what: string;
  /** What is drawn: another one is tried by itself. */
  readonly of?: unknown;
  /** Another way on, beside trying again. */
  readonly way?: ReactNode;
  /** What is around the sentence, where the part has a place of its own in the page. */
  readonly frame?: (said: ReactNode) => ReactNode;
  readonly children: ReactNode;
}

interface BoundaryState {
  readonly isFailed: boolean;
  readonly of: unknown;
}

export class Boundary extends Component<BoundaryProps, BoundaryState> {
  override state: BoundaryState = { isFailed: false, of: this.props.of };

  static getDerivedStateFromError(): Partial<BoundaryState> {
    return { isFailed: true };
  }

  static getDerivedStateFromProps({ of }: BoundaryProps, state: BoundaryState): BoundaryState | null {
    return of === state.of ? null : { isFailed: false, of };
  }

  override render(): ReactNode {
    const { what, way, frame = (said) => said, children } = this.props;
    if (!this.state.isFailed) return children;
    return frame(
      <p className="problem failed" role="alert">
        {what} cannot be shown. <Button onPress={() => this.setState({ isFailed: false })}>Try again</Button>
        {way}
      </p>,
    );
  }
}

export const Reload = () => <Button onPress={() => location.reload()}>Reload the page</Button>;
