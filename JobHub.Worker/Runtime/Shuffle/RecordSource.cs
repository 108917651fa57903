namespace JobHub.Worker.Runtime.Shuffle;

/// <summary>
/// Records in key order, one at a time. The current record is read from fields, not through calls: this is the innermost loop of every job.
/// The pointers are good until the next <see cref="MoveNext"/>.
/// </summary>
internal abstract unsafe class RecordSource
{
    public byte* Key;
    public byte* Value;
    public int KeyLength;
    public int ValueLength;

    /// <summary>The first eight bytes of the key as a big-endian number, zero-padded: it orders as the bytes do.</summary>
    public ulong Prefix;

    /// <summary>The record was a line without a tab; its key is the whole line and it is written back without one.</summary>
    public bool NoTab;

    /// <summary>Known to have the key of the record before; false also when it was not looked at.</summary>
    public bool SameKey;

    public ReadOnlySpan<byte> KeySpan => new(Key, KeyLength);

    public ReadOnlySpan<byte> ValueSpan => new(Value, ValueLength);

    public abstract bool MoveNext();
}
