// What people have called themselves, as it may be shown.

/** Marks of direction, and what is not seen; but for joiners, which some scripts and emoji need. */
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|[\u{1d173}-\u{1d17a}\u{e0001}]/gu;
/** A joiner between what does not join: it only makes one name look like another. */
const LOOSE_JOINER =
  /(?<![\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Tamil}\p{Script=Telugu}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Gujarati}\p{Script=Gurmukhi}\p{Script=Oriya}\p{Mn}])[\u200c\u200d]/gu;

/** A name without what is not seen, so that nobody looks like somebody else by it. */
export function shownName(name: string): string {
  const seen = name.replace(UNSEEN, '').replace(LOOSE_JOINER, '').replace(/\s+/gu, ' ').trim();
  return seen === '' ? 'Somebody' : seen;
}

/** Letters that look like those of another alphabet. */
const ALPHABETS = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u, /\p{Script=Cherokee}/u];

/**
 * Whether a word of a name has letters of several alphabets that look alike, as in “Аdа”: nobody writes so, but for
 * who wants to be taken for somebody else. Words of one alphabet each, side by side, are usual. (UTS 39, 5.2, for these
 * alphabets; Latin beside Chinese, Japanese or Korean writing is none of it.)
 */
export const mixesAlphabets = (name: string): boolean =>
  name
    .normalize('NFKC')
    .split(/[^\p{L}\p{M}]+/u)
    .some((word) => ALPHABETS.filter((alphabet) => alphabet.test(word)).length > 1);

/** A file's name as it may be shown: its ending stays where it is. */
export const shownFile = (name: string): string => {
  const seen = name.replace(UNSEEN, '').replace(LOOSE_JOINER, '').trim();
  return seen === '' ? 'file' : seen;
};
