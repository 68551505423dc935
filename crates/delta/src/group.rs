//! Rows of one table on their way into a file: encoded a chunk at a time, on the worker that read them.
//!
//! A window is some 40 MB of Arrow, and 9 MB of parquet. A worker that encodes each chunk as it fills holds little more
//! than the latter: the Arrow buffers of a chunk are small, their memory is used again for the next one, and what they
//! hold is encoded while it is still in the processor's cache. (When whole windows were encoded at the cut, a quarter
//! of the processor time of a run went into clearing fresh pages for them.)

use std::sync::Arc;

use deltalake::arrow::array::{Array, RecordBatch};
use deltalake::parquet::arrow::ArrowSchemaConverter;
use deltalake::parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use deltalake::parquet::basic::{Compression as Codec, ZstdLevel};
use deltalake::parquet::errors::ParquetError;
use deltalake::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use deltalake::parquet::file::writer::SerializedFileWriter;
use deltalake::parquet::schema::types::{ColumnPath, TypePtr};

use super::file::Compression;
use super::schema::{Table, all_columns};

/// The most bytes of a data page before compression. A row group of pins has fifteen open pages.
const MAX_PAGE_BYTES: usize = 256 << 10;

/// The parquet schema and properties of the files of a table.
#[derive(Debug, Clone)]
pub(crate) struct FileFormat {
    pub(crate) table: Table,
    pub(crate) compression: Compression,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
}

impl FileFormat {
    pub(crate) fn new(table: Table, compression: Compression) -> FileFormat {
        let schema = ArrowSchemaConverter::new().convert(&table.arrow_schema());
        let schema = schema.expect("each column type has a parquet type").root_schema_ptr();
        FileFormat { table, compression, schema, properties: Arc::new(writer_properties(table, compression)) }
    }

    /// A writer that appends a file to `bytes`.
    pub(crate) fn new_writer<'a>(
        &self,
        bytes: &'a mut Vec<u8>,
    ) -> Result<SerializedFileWriter<&'a mut Vec<u8>>, ParquetError> {
        SerializedFileWriter::new(bytes, Arc::clone(&self.schema), Arc::clone(&self.properties))
    }

    /// A group without rows.
    pub(crate) fn new_group(&self) -> Result<RowGroup, ParquetError> {
        // A row group needs only the format of a file. The file itself joins the groups of all workers later.
        let mut nowhere = Vec::new();
        let factory = ArrowRowGroupWriterFactory::new(&self.new_writer(&mut nowhere)?, self.table.arrow_schema());
        let nulls = vec![0; self.table.arrow_schema().fields().len()];
        Ok(RowGroup { table: self.table, columns: factory.create_column_writers(0)?, rows: 0, nulls })
    }
}

/// A row group: rows of a table that were encoded by one worker.
#[derive(Debug)]
pub(crate) struct RowGroup {
    table: Table,
    columns: Vec<ArrowColumnWriter>,
    pub(crate) rows: usize,
    /// The number of nulls by column.
    pub(crate) nulls: Vec<usize>,
}

impl RowGroup {
    /// Encodes the rows of a batch.
    pub(crate) fn add_batch(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let mut columns = self.columns.iter_mut();
        for (at, (field, array)) in self.table.arrow_schema().fields().iter().zip(batch.columns()).enumerate() {
            for leaf in compute_leaves(field, array)? {
                columns.next().expect("a writer for each leaf of the schema").write(&leaf)?;
            }
            self.nulls[at] += array.null_count();
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// The size in memory, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    /// Compresses the last pages, and returns the columns.
    pub(crate) fn close(self) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
        self.columns.into_iter().map(ArrowColumnWriter::close).collect()
    }
}

fn writer_properties(table: Table, compression: Compression) -> WriterProperties {
    let codec = match compression {
        Compression::Snappy => Codec::SNAPPY,
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()),
    };
    let mut properties = WriterProperties::builder()
        .set_compression(codec)
        .set_created_by(concat!("pinflow ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_data_page_size_limit(MAX_PAGE_BYTES)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    for column in all_columns(table) {
        let path = ColumnPath::from(column.name);
        if column.bounds {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk);
        }
        properties = properties.set_column_dictionary_enabled(path, column.repeats);
    }
    properties.build()
}
