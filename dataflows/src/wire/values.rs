//! Values of SQL as parts of records.

use pinflow_sql::datum::Datum;

use super::{MalformedMessage, MessageReader, MessageWriter, WireRecord};

impl WireRecord for Datum {
    fn write(&self, to: &mut MessageWriter) {
        match self {
            Datum::Null => to.write_byte(0),
            Datum::Bool(value) => to.write_byte(1 + u8::from(*value)),
            Datum::Long(value) => {
                to.write_byte(3);
                to.write_signed(*value);
            }
            Datum::Double(value) => {
                to.write_byte(4);
                to.write_bits(value.to_bits());
            }
            Datum::Text(text) => {
                to.write_byte(5);
                to.write_text(text);
            }
            Datum::Time(micros) => {
                to.write_byte(6);
                to.write_signed(*micros);
            }
            Datum::List(elements) => {
                to.write_byte(7);
                write_values(elements, to);
            }
        }
    }

    fn read(from: &mut MessageReader<'_>) -> Result<Datum, MalformedMessage> {
        match from.read_byte()? {
            7 => {
                // No list has lists as elements, so this does not recurse further.
                let read_element = |from: &mut MessageReader<'_>| {
                    let kind = from.read_byte()?;
                    read_scalar(kind, from)
                };
                Ok(Datum::List(read_all(from, read_element)?))
            }
            kind => read_scalar(kind, from),
        }
    }
}

fn read_scalar(kind: u8, from: &mut MessageReader<'_>) -> Result<Datum, MalformedMessage> {
    Ok(match kind {
        0 => Datum::Null,
        1 | 2 => Datum::Bool(kind == 2),
        3 => Datum::Long(from.read_signed()?),
        4 => Datum::double(f64::from_bits(from.read_bits()?)).ok_or(from.malformed("a double that is not finite"))?,
        5 => Datum::text(from.read_text()?),
        6 => Datum::Time(from.read_signed()?),
        _ => return Err(from.malformed("a value of no type")),
    })
}

/// Writes how many values there are, and the values.
pub(crate) fn write_values<T: WireRecord>(values: &[T], to: &mut MessageWriter) {
    to.write_number(values.len() as u64);
    values.iter().for_each(|value| value.write(to));
}

/// Reads values that [`write_values`] wrote, of which each has a byte at least.
pub(crate) fn read_values<T: WireRecord, C: FromIterator<T>>(
    from: &mut MessageReader<'_>,
) -> Result<C, MalformedMessage> {
    read_all(from, T::read)
}

fn read_all<T, C: FromIterator<T>>(
    from: &mut MessageReader<'_>,
    read: impl Fn(&mut MessageReader<'_>) -> Result<T, MalformedMessage>,
) -> Result<C, MalformedMessage> {
    let count = from.read_count()?;
    (0..count).map(|_| read(from)).collect()
}
