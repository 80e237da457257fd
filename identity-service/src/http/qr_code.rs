//! A text as a QR code in SVG: no script, no style, nothing loaded, so that every content security policy lets it be,
//! inline or as an image.

use fast_qr::{
    QRBuilder,
    convert::{Builder, Shape, svg::SvgBuilder},
};

/// Modules around the code (ISO/IEC 18004 wants four).
const QUIET_ZONE: usize = 4;

/// The code of `text`, which screen readers announce as `label`. Both are ours: nothing of a person may be in the label.
pub(super) fn svg(text: &str, label: &str) -> String {
    let code = QRBuilder::new(text)
        .build()
        .expect("a code holds 1,663 bytes at the usual error correction");
    let svg = SvgBuilder::default()
        .margin(QUIET_ZONE)
        .shape(Shape::Square)
        .to_str(&code);
    let announced = format!(r#"<svg role="img" aria-label="{label}" "#);
    svg.replacen("<svg ", &announced, 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rqrr::PreparedImage;

    use super::*;

    #[test]
    fn a_code_is_one_inert_picture_with_a_name() {
        let svg = svg("otpauth://totp/A:a%40b?secret=GEZDGNBV&issuer=A", "QR code");
        assert!(svg.starts_with(r#"<svg role="img" aria-label="QR code" viewBox="0 0 "#));
        assert!(svg.ends_with("</svg>"));
        let elements: Vec<_> = svg
            .split('<')
            .skip(1)
            .map(|it| it.split([' ', '>']).next().unwrap_or_default())
            .collect();
        assert_eq!(elements, ["svg", "rect", "path", "/svg"], "{svg:.300}");
        for active in ["style", "href", "script", " on", "url(", "&"] {
            assert!(!svg.contains(active), "{active}");
        }
    }

    /// What a camera would read, of a picture whose modules are squares of the path.
    fn read(svg: &str) -> String {
        const PIXELS: usize = 4;
        let number = |text: &str| text.parse::<usize>().expect("a number");
        let size = svg.split("viewBox=\"0 0 ").nth(1).expect("a view box");
        let size = number(size.split(' ').next().unwrap_or_default()) * PIXELS;
        let path = svg.split(" d=\"").nth(1).expect("a path");
        let dark: HashSet<(usize, usize)> = path
            .split('M')
            .filter_map(|module| module.split_once("h1v1h-1")?.0.split_once(','))
            .map(|(x, y)| (number(x), number(y)))
            .collect();
        let mut picture = PreparedImage::prepare_from_greyscale(size, size, |x, y| {
            if dark.contains(&(x / PIXELS, y / PIXELS)) {
                0
            } else {
                255
            }
        });
        let grids = picture.detect_grids();
        let [grid] = grids.as_slice() else {
            panic!("{} codes", grids.len());
        };
        grid.decode().expect("a code").1
    }

    #[test]
    fn an_independent_reader_reads_the_text() {
        let longest = format!("otpauth://totp/{}?secret=GEZDGNBV", "%C3%A9".repeat(100));
        for text in ["otpauth://totp/A:a%40b?secret=GEZDGNBV&issuer=A", &longest] {
            assert_eq!(read(&svg(text, "QR code")), text);
        }
    }

    #[test]
    fn the_longest_address_and_issuer_fit() {
        let uri = format!(
            "otpauth://totp/{}",
            "%C3%A9"
                .repeat(254 + 64 + 64)
                .get(..1_600)
                .expect("it is longer")
        );
        assert!(svg(&uri, "QR code").len() > 1_000);
    }
}
