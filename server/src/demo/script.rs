//! Who is there, and what they have said before anybody looks.

/// Somebody of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Ada,
    Grace,
    Bot,
}

impl Who {
    pub(super) const ALL: [Self; 3] = [Self::Ada, Self::Grace, Self::Bot];

    /// By the name that the page asks with. The bot signs in by itself.
    pub(super) fn of_page(name: &str) -> Option<Self> {
        match name {
            "ada" => Some(Self::Ada),
            "grace" => Some(Self::Grace),
            _ => None,
        }
    }

    /// `.invalid` is nobody's (RFC 2606).
    pub(super) const fn address(self) -> &'static str {
        match self {
            Self::Ada => "ada@demo.invalid",
            Self::Grace => "grace@demo.invalid",
            Self::Bot => "weather@demo.invalid",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ada => "Ada Lovelace",
            Self::Grace => "Grace Hopper",
            Self::Bot => "Weather bot",
        }
    }

    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Ada => "Notes on the engine, mostly Note G.",
            Self::Grace => "It is easier to ask forgiveness than to get permission.",
            Self::Bot => "I measure, I correct myself, and I take back what was wrong.",
        }
    }
}

/// What comes of a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// Somebody reacts to it.
    Reacts(Who, &'static str),
    /// Its sender says something else.
    Becomes(&'static str),
    /// Its sender deletes it.
    Goes,
    /// Somebody pins it.
    Stays(Who),
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) by: Who,
    /// How many minutes after the one before.
    pub(super) after: u32,
    pub(super) says: &'static str,
    /// How many lines before stands what it replies to; 0: to nothing.
    pub(super) replies: usize,
    /// Whether the drawing is attached.
    pub(super) has_image: bool,
    pub(super) then: &'static [Then],
}

const fn line(by: Who, after: u32, says: &'static str) -> Line {
    Line {
        by,
        after,
        says,
        replies: 0,
        has_image: false,
        then: &[],
    }
}

impl Line {
    const fn replying(self, replies: usize) -> Self {
        Self { replies, ..self }
    }

    const fn with_image(self) -> Self {
        Self {
            has_image: true,
            ..self
        }
    }

    const fn then(self, then: &'static [Then]) -> Self {
        Self { then, ..self }
    }
}

use Then::{Becomes, Goes, Reacts, Stays};
use Who::{Ada, Bot, Grace};

/// The group of all three.
pub(super) const ENGINE_TITLE: &str = "Engine room";
/// The one where the bot writes down what it measures.
pub(super) const WEATHER_TITLE: &str = "Weather station";

/// Between the two people.
pub(super) const DIRECT: &[Line] = &[
    line(
        Ada,
        0,
        "Good morning Grace! Did the post bring the drawings?",
    ),
    line(
        Grace,
        6,
        "They are here, all twenty sheets. I have not looked at one of them yet.",
    ),
    line(Ada, 2, "Sheet 14 first. The rest can wait.").then(&[Reacts(Grace, "👍")]),
    line(
        Grace,
        31,
        "Sheet 14 has the drive wheels the wrong way around.",
    ),
    line(Ada, 3, "It has not …"),
    line(Ada, 1, "It has. How did nobody see that?").then(&[Reacts(Grace, "😂")]),
    line(Grace, 2, "Everybody looked at the numbers."),
    line(Grace, 1, "The numbers are right, by the way. All of them.")
        .then(&[Reacts(Ada, "🎉"), Reacts(Ada, "❤️")]),
    line(
        Ada,
        12,
        "I count seven places where a carry is lost if two columns turn over at once.",
    )
    .then(&[Becomes(
        "I count five places where a carry is lost if two columns turn over at once.",
    )]),
    line(Grace, 4, "Five or seven?").replying(1),
    line(Ada, 1, "Five. I had counted the two on sheet 9 twice."),
    line(Grace, 95, "Are you at the workshop on Thursday?"),
    line(
        Ada,
        22,
        "From ten. Bring the nanosecond, they have never seen one.",
    )
    .then(&[Reacts(Grace, "😄")]),
    line(Grace, 3, "Thirty centimetres of wire, packed."),
    line(Grace, 540, "I dreamt of Note G. It had a bug."),
    line(
        Ada,
        14,
        "It has a bug. The fraction in the fourth operation is upside down.",
    )
    .then(&[Reacts(Grace, "😮")]),
    line(Grace, 1, "And you tell me now?"),
    line(Ada, 1, "I was going to fix it first."),
    line(Ada, 1, "asdf").then(&[Goes]),
    line(Grace, 8, "Fix it, then tell. That is the right order."),
    line(Ada, 180, "Fixed. v5/v4, not v4/v5. Would you read over it?"),
    line(
        Grace,
        25,
        "Read it twice. It is correct now, and it is still beautiful.",
    )
    .then(&[Reacts(Ada, "❤️")]),
    line(Ada, 2, "That goes on the wall.").replying(1),
    line(Grace, 610, "Train at 9:12, I am there a little after ten."),
    line(Ada, 5, "I fetch you at the station. Blue umbrella."),
    line(Grace, 1, "It will not rain, the bot says so."),
    line(Ada, 1, "The bot has said a great many things.")
        .replying(1)
        .then(&[Reacts(Grace, "😂")]),
];

/// In the engine room.
pub(super) const ENGINE: &[Line] = &[
    line(Ada, 9, "Welcome. This room is for the build of Engine No. 2: what is done, what is stuck, who brings cake.")
        .then(&[Stays(Ada)]),
    line(Grace, 3, "Cake: me, on Thursday.").then(&[Reacts(Ada, "🎉")]),
    line(Bot, 1, "I log the temperature of the workshop: brass grows by 19 µm for each metre and degree."),
    line(Grace, 2, "That is the best reason for a weather bot that I have heard."),
    line(Ada, 40, "The drive side, as it is since this morning.")
        .with_image()
        .then(&[Reacts(Grace, "👏"), Reacts(Bot, "👍")]),
    line(Grace, 6, "Is the middle wheel not a little small?").replying(1),
    line(Ada, 2, "It is an idler: it only turns the direction around, its size is no matter.").replying(1)
        .then(&[Reacts(Grace, "👍")]),
    line(Grace, 1, "Then it can take the worn one."),
    line(Bot, 15, "Workshop 17.9 °C. Backlash of the first pair: 0.06 mm."),
    line(Ada, 4, "That is a tenth of what we had in spring."),
    line(Grace, 44, "Who has the 6 mm reamer?"),
    line(Ada, 2, "In the left drawer.")
        .then(&[Becomes("In the left drawer, below the felt.")]),
    line(Grace, 9, "Found it, and a moth. It is taped into the log book.")
        .then(&[Reacts(Ada, "😂"), Reacts(Bot, "😮")]),
    line(Ada, 1, "The first of this engine.").replying(1),
    line(Grace, 320, "Columns 1 to 4 carry. Column 5 sticks at 9."),
    line(Ada, 5, "@Grace Hopper does it stick at once, or from the second turn on?"),
    line(Grace, 3, "From the second on.").replying(1),
    line(Ada, 1, "Then it is the spring and not the tooth."),
    line(Grace, 48, "It was the spring. All five carry, a hundred turns without a miss.")
        .then(&[Reacts(Ada, "🎉"), Reacts(Bot, "🎉"), Stays(Ada)]),
    line(Ada, 2, "A HUNDRED!").then(&[Becomes("A hundred! I am coming over.")]),
    line(Bot, 60, "Workshop 18.4 °C. Backlash of the first pair: 0.05 mm."),
    line(Bot, 1, "Workshop 81.4 °C.").then(&[Goes]),
    line(Grace, 1, "Was that 81 degrees?"),
    line(Bot, 1, "It was not. I have taken it back.").then(&[Reacts(Ada, "😂"), Reacts(Grace, "😂")]),
    line(Ada, 700, "Thursday: columns 6 to 9, the printing wheels, and @Grace Hopper brings the cake."),
    line(Grace, 7, "@Ada Lovelace lemon or poppy seed?"),
    line(Ada, 1, "Yes.").replying(1).then(&[Reacts(Grace, "👍")]),
];

/// How many readings of the station there are.
pub(super) const READINGS: u32 = 64;

/// What the station says the `number`th time, the same each time that it is asked.
pub(super) fn reading(number: u32) -> String {
    let wobble = |period: u32, most: u32| {
        let at = number % period;
        (at.min(period - at) * most) / period
    };
    let tenths = 168 + wobble(48, 120) + wobble(7, 9);
    let pressure = 1004 + wobble(60, 22);
    let humidity = 71 - wobble(48, 40);
    format!(
        "Reading {number}: {}.{} °C, {pressure} hPa, {humidity} % humidity",
        tenths / 10,
        tenths % 10
    )
}

/// What a reading is edited to.
pub(super) fn corrected(number: u32) -> String {
    format!("{} (corrected)", reading(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_to_what_was_said_before() {
        for chat in [DIRECT, ENGINE] {
            for (place, line) in chat.iter().enumerate() {
                assert!(line.replies <= place, "{}", line.says);
            }
        }
    }

    #[test]
    fn a_demo_shows_all_that_a_chat_may_have() {
        let lines = || DIRECT.iter().chain(ENGINE);
        let any = |has: fn(&Then) -> bool| lines().any(|line| line.then.iter().any(has));
        assert!(any(|then| matches!(then, Reacts(..))));
        assert!(any(|then| matches!(then, Becomes(..))));
        assert!(any(|then| matches!(then, Goes)));
        assert!(any(|then| matches!(then, Stays(..))));
        assert!(lines().any(|line| line.replies > 0));
        assert_eq!(lines().filter(|line| line.has_image).count(), 1);
        assert!(reading(1) != reading(2));
    }
}
