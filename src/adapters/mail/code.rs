//! An order id as a picture for a scanner: a QR code as PNG.
//!
//! A picture within the mail (`cid:`) is what mail programs show; they block `data:` addresses and SVG.

use qrcode::{Color, EcLevel, QrCode};

/// Pixels of one module.
const SCALE: usize = 4;
/// White modules around the code, as its standard asks.
const MARGIN: usize = 4;

/// Returns the code of a text as PNG; `None` when the text is too long for one.
pub(super) fn png_of(text: &str) -> Option<Vec<u8>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let modules = code.width();
    let side = (modules + 2 * MARGIN) * SCALE;
    let dark = |x: usize, y: usize| {
        let module = |at: usize| (at / SCALE).checked_sub(MARGIN).filter(|m| *m < modules);
        match (module(x), module(y)) {
            (Some(x), Some(y)) => code[(x, y)] == Color::Dark,
            _ => false,
        }
    };
    let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
    let pixels: Vec<u8> = pixels
        .map(|(x, y)| if dark(x, y) { 0 } else { 255 })
        .collect();
    let side = u32::try_from(side).ok()?;
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&pixels).ok()?;
    writer.finish().ok()?;
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_becomes_a_square_picture_with_a_white_margin() {
        let picture = png_of("1234567890123-01").unwrap();
        let decoder = png::Decoder::new(std::io::Cursor::new(picture));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.width, info.height);
        let width = usize::try_from(info.width).unwrap();
        let margin = MARGIN * SCALE;
        assert!(pixels[..margin * width].iter().all(|p| *p == 255));
        // The finder pattern: seven dark modules in its first row.
        let first = margin * width + margin;
        assert!(pixels[first..first + 7 * SCALE].iter().all(|p| *p == 0));
        assert_eq!(pixels[first + 7 * SCALE], 255);
        assert!(png_of(&"x".repeat(10_000)).is_none());
    }
}
