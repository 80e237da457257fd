//! What a person looks for, in texts as people read them: without regard to case, accents and widths.
//!
//! Text is folded character by character: compatibility decomposition (Unicode NFKD, UAX #15), without its combining marks,
//! in lower case, `ß` as `ss` and `ς` as `σ`. Words of the question are looked for anywhere in the folded text, and all of
//! them must be there, in whichever of title, body and tags.

use shared::problem::FieldError;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

use super::content::Draft;

/// Characters of a question at most.
pub(crate) const QUESTION_CHARS: usize = 200;
/// Different words of a question at most.
const WORDS: usize = 16;
/// Characters of a body around the first hit, on each side.
const AROUND: usize = 80;

/// What somebody looks for. Personal text: no `Debug`.
pub(crate) struct Question {
    /// Folded, none of them empty.
    words: Vec<String>,
}

/// A piece of text that is a hit, or lies between two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) hit: bool,
}

/// Where a question was answered: pieces of the title, and of the body around its first hit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) title: Vec<Piece>,
    pub(crate) body: Vec<Piece>,
}

impl Question {
    /// Refused when there is nothing to look for, such as accents alone, or too much.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let wrong = |message| FieldError::new("query:q", message);
        if text.chars().count() > QUESTION_CHARS {
            return Err(wrong("is longer than 200 characters"));
        }
        let mut words: Vec<_> = text.split_whitespace().map(folded).collect();
        words.retain(|word| !word.is_empty());
        words.sort_unstable();
        words.dedup();
        match words.len() {
            0 => Err(wrong("has no character to look for")),
            1..=WORDS => Ok(Self { words }),
            _ => Err(wrong("has more than 16 words")),
        }
    }

    /// Where the words are, if all are there.
    pub(crate) fn find(&self, entry: &Draft) -> Option<Found> {
        let mut missing: Vec<_> = self.words.iter().map(String::as_str).collect();
        for text in [&entry.title, &entry.body].into_iter().chain(&entry.tags) {
            let text = folded(text);
            missing.retain(|word| !text.contains(word));
            if missing.is_empty() {
                return Some(self.shown(entry));
            }
        }
        None
    }

    fn shown(&self, entry: &Draft) -> Found {
        let body = Folded::of(&entry.body);
        let hits = body.hits(&self.words);
        let (from, to) = around(&entry.body, hits.first().map(|hit| hit.start));
        let title = Folded::of(&entry.title);
        Found {
            title: pieces(&entry.title, 0..entry.title.len(), &title.hits(&self.words)),
            body: pieces(&entry.body, from..to, &hits),
        }
    }
}

/// The text as it is compared.
fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    text.chars()
        .for_each(|char| fold(char, |it| folded.push(it)));
    folded
}

fn fold(char: char, mut put: impl FnMut(char)) {
    if char.is_ascii() {
        return put(char.to_ascii_lowercase());
    }
    decompose_compatible(char, |part| {
        if is_combining_mark(part) {
            return;
        }
        for lower in part.to_lowercase().filter(|it| !is_combining_mark(*it)) {
            match lower {
                'ß' => {
                    put('s');
                    put('s');
                }
                'ς' => put('σ'),
                other => put(other),
            }
        }
    });
}

/// A folded text that knows where its characters come from.
struct Folded {
    text: String,
    /// For every byte of it: the byte of the original where its character begins.
    origins: Vec<usize>,
    /// Bytes of the original.
    length: usize,
}

impl Folded {
    fn of(original: &str) -> Self {
        let mut text = String::with_capacity(original.len());
        let mut origins = Vec::with_capacity(original.len());
        for (at, char) in original.char_indices() {
            fold(char, |it| text.push(it));
            origins.resize(text.len(), at);
        }
        Self {
            text,
            origins,
            length: original.len(),
        }
    }

    /// Where the words are in the original, in order, none touching another. Accents that follow belong to a hit.
    fn hits(&self, words: &[String]) -> Vec<std::ops::Range<usize>> {
        let mut found: Vec<_> = words
            .iter()
            .flat_map(|word| self.text.match_indices(word.as_str()))
            .map(|(at, word)| self.origin(at)..self.end(at + word.len()))
            .collect();
        found.sort_unstable_by_key(|hit| (hit.start, hit.end));
        let mut hits: Vec<std::ops::Range<usize>> = Vec::new();
        for hit in found {
            match hits.last_mut() {
                Some(last) if hit.start <= last.end => last.end = last.end.max(hit.end),
                _ => hits.push(hit),
            }
        }
        hits
    }

    fn origin(&self, at: usize) -> usize {
        self.origins.get(at).copied().unwrap_or(self.length)
    }

    /// Where the character after the last one of a hit begins. One character of the original may have become several, of
    /// which the hit has some: then all of it belongs to the hit.
    fn end(&self, at: usize) -> usize {
        let last = self.origin(at.saturating_sub(1));
        let rest = self.origins.get(at..).unwrap_or_default();
        let next = rest.iter().find(|origin| **origin > last);
        next.copied().unwrap_or(self.length)
    }
}

/// The part of a text around a hit, or its beginning: no longer than it needs to be, and whole characters.
fn around(text: &str, hit: Option<usize>) -> (usize, usize) {
    let hit = hit.unwrap_or(0);
    let (before, after) = text.split_at_checked(hit).unwrap_or((text, ""));
    let from = before.char_indices().rev().take(AROUND).last();
    let to = after.char_indices().nth(AROUND * 2);
    let from = from.map_or(hit, |(at, _)| at);
    (from, to.map_or(text.len(), |(at, _)| hit + at))
}

fn pieces(
    text: &str,
    shown: std::ops::Range<usize>,
    hits: &[std::ops::Range<usize>],
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut put = |range: std::ops::Range<usize>, hit| {
        let text = text.get(range).filter(|text| !text.is_empty());
        pieces.extend(text.map(|text| Piece {
            text: text.to_owned(),
            hit,
        }));
    };
    let mut at = shown.start;
    for hit in hits {
        let (from, to) = (hit.start.max(at), hit.end.min(shown.end));
        if from >= to {
            continue;
        }
        put(at..from, false);
        put(from..to, true);
        at = to;
    }
    put(at..shown.end, false);
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::content::tests::draft;
    use super::*;

    fn question(text: &str) -> Question {
        Question::parse(text)
            .map_err(|error| error.message)
            .expect("a question")
    }

    fn found(text: &str, body: &str) -> Option<Found> {
        let entry = Draft {
            title: "A quiet day".to_owned(),
            body: body.to_owned(),
            ..draft()
        };
        question(text).find(&entry)
    }

    /// The pieces with the hits in brackets.
    fn marked(pieces: &[Piece]) -> String {
        let mark = |piece: &Piece| {
            let (from, to) = if piece.hit { ("[", "]") } else { ("", "") };
            format!("{from}{}{to}", piece.text)
        };
        pieces.iter().map(mark).collect()
    }

    fn shown(text: &str, body: &str) -> String {
        found(text, body).map_or("nothing".to_owned(), |it| marked(&it.body))
    }

    #[test]
    fn case_accents_and_widths_make_no_difference_and_hits_are_shown_as_written() {
        for (text, body, wanted) in [
            ("cafe", "In the Café.", "In the [Café]."),
            (
                "CAFÉ",
                "in the cafe\u{301} there",
                "in the [cafe\u{301}] there",
            ),
            ("strasse", "Große Straße 7", "Große [Straße] 7"),
            ("straße", "GROSSE STRASSE", "GROSSE [STRASSE]"),
            ("οδος", "Η ΟΔΌΣ μου", "Η [ΟΔΌΣ] μου"),
            ("istanbul", "İstanbul", "[İstanbul]"),
            ("ﬁre", "a fire", "a [fire]"),
            ("fire", "a ﬁre", "a [ﬁre]"),
            ("123", "１２３", "[１２３]"),
            ("дом", "Домой", "[Дом]ой"),
            ("日記", "私の日記です", "私の[日記]です"),
            ("a\u{308}pfel", "Äpfel", "[Äpfel]"),
        ] {
            assert_eq!(shown(text, body), wanted, "{text}");
        }
    }

    #[test]
    fn every_word_must_be_there_and_may_be_in_title_body_or_tags() {
        assert_eq!(
            shown("river walk", "A walk by the river"),
            "A [walk] by the [river]"
        );
        assert_eq!(shown("quiet river", "the river"), "the [river]");
        let found = found("quiet river", "the river").expect("found");
        assert_eq!(marked(&found.title), "A [quiet] day");
        // `home` is a tag.
        assert_eq!(shown("home river", "the river"), "the [river]");
        assert_eq!(shown("sea river", "the river"), "nothing");
        assert_eq!(shown("riverwalk", "river walk"), "nothing");
    }

    #[test]
    fn hits_that_touch_or_overlap_are_one() {
        assert_eq!(shown("ana nab", "bananabread"), "b[ananab]read");
        assert_eq!(shown("ab cd", "xabcdx"), "x[abcd]x");
    }

    #[test]
    fn a_long_body_is_shown_around_its_first_hit_in_whole_characters() {
        let body = format!("{}needle{}", "é".repeat(500), "日".repeat(500));
        let shown = shown("needle", &body);
        let wanted = format!("{}[needle]{}", "é".repeat(80), "日".repeat(154));
        assert_eq!(shown, wanted);
        let begins = found("quiet", &"x".repeat(1_000)).expect("in the title");
        assert_eq!(marked(&begins.body).len(), 160);
    }

    #[test]
    fn a_question_without_anything_to_look_for_or_with_too_much_is_refused() {
        for text in [
            "",
            "  \t\n",
            "\u{301}",
            &"x".repeat(201),
            "a b c d e f g h i j k l m n o p q",
        ] {
            assert!(Question::parse(text).is_err(), "{text:?}");
        }
        assert!(Question::parse("a a a a a a a a a a a a a a a a a a a a a").is_ok());
        assert!(Question::parse("%' OR \\ \0").is_ok());
    }

    proptest! {
        #[test]
        fn a_piece_of_a_text_is_found_in_it_and_the_pieces_make_up_the_text(
            before in any::<String>(), word in "[a-zA-ZäÖüßéñçÅœΣσдЖ日語１]{1,12}", after in any::<String>(),
        ) {
            let body = format!("{before}{word}{after}");
            let Ok(question) = Question::parse(&word) else { return Ok(()); };
            let found = question.find(&Draft { body: body.clone(), ..draft() });
            let found = found.expect("it is there");
            let shown: String = found.body.iter().map(|piece| piece.text.as_str()).collect();
            prop_assert!(body.contains(&shown));
            prop_assert!(found.body.iter().any(|piece| piece.hit) || !body.contains(&word));
        }

        #[test]
        fn no_question_and_no_text_make_it_panic(text in any::<String>(), body in any::<String>()) {
            if let Ok(question) = Question::parse(&text) {
                let _ = question.find(&Draft { body, ..draft() });
            }
        }

        #[test]
        fn folding_is_the_same_in_one_go_and_with_its_origins(text in any::<String>()) {
            let with_origins = Folded::of(&text);
            prop_assert_eq!(&with_origins.text, &folded(&text));
            prop_assert_eq!(with_origins.text.len(), with_origins.origins.len());
        }
    }
}
