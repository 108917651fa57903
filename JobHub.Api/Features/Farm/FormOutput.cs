using System.Buffers;
using System.Runtime.CompilerServices;
using JobHub.Api.Http;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>
/// Output that arrives as base64 in a form, decoded as it comes. Up to a piece stays in memory, more goes to a file without a name, so that a worker that printed a lot costs
/// no more than one that printed little.
/// </summary>
public sealed class FormOutput : IFormOutput, IAsyncDisposable
{
    /// <summary>Characters that one value may have.</summary>
    public const long MostCharacters = 64 << 20;

    private const byte Padding = 64, Ignored = 65, Wrong = 66;
    private static readonly byte[] Sextets = MakeSextets();

    private readonly ArrayBufferWriter<byte> _buffer = new();
    private FileStream? _file;
    private long _characters, _length;
    private int _bits, _count, _padding;

    /// <inheritdoc />
    public long Length => _length;

    /// <summary>Takes the next characters.</summary>
    public void Write(ReadOnlySpan<byte> characters)
    {
        _characters += characters.Length;
        if (_characters > MostCharacters) throw new ServiceDefaults.RefusedException(413, "form-value-too-large", $"'log' has more than {MostCharacters} characters. Send it in several heartbeats.", "log");
        var bytes = _buffer.GetSpan((characters.Length * 3 / 4) + 4);
        var written = 0;
        foreach (var character in characters)
        {
            var sextet = Sextets[character];
            if (sextet == Ignored) continue;
            if (sextet == Padding)
            {
                _padding++;
                continue;
            }

            if (sextet == Wrong || _padding > 0) throw NotBase64();
            _bits = (_bits << 6) | sextet;
            if (++_count < 4) continue;
            bytes[written++] = (byte)(_bits >> 16);
            bytes[written++] = (byte)(_bits >> 8);
            bytes[written++] = (byte)_bits;
            (_bits, _count) = (0, 0);
        }

        _buffer.Advance(written);
        _length += written;
    }

    /// <summary>Makes room when a piece is full.</summary>
    public async ValueTask SpillAsync(CancellationToken ct)
    {
        if (_buffer.WrittenCount < FormLogs.PieceBytes) return;
        _file ??= new FileStream(Path.Combine(Path.GetTempPath(), Path.GetRandomFileName()), new FileStreamOptions
        {
            Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, BufferSize = 0, Options = FileOptions.DeleteOnClose | FileOptions.Asynchronous,
        });
        await _file.WriteAsync(_buffer.WrittenMemory, ct);
        _buffer.ResetWrittenCount();
    }

    /// <summary>No more comes.</summary>
    public async ValueTask CompleteAsync(CancellationToken ct)
    {
        // One character left over says nothing; two or three are one or two bytes, with or without their padding.
        if (_count == 1 || (_padding > 0 && _count + _padding != 4)) throw NotBase64();
        if (_count > 1)
        {
            var bytes = _buffer.GetSpan(2);
            bytes[0] = (byte)(_bits >> (_count == 2 ? 4 : 10));
            if (_count == 3) bytes[1] = (byte)(_bits >> 2);
            _buffer.Advance(_count - 1);
            _length += _count - 1;
        }

        if (_file is null || _buffer.WrittenCount == 0) return;
        await _file.WriteAsync(_buffer.WrittenMemory, ct);
        _buffer.ResetWrittenCount();
    }

    /// <inheritdoc />
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> PiecesAsync([EnumeratorCancellation] CancellationToken ct)
    {
        if (_file is null)
        {
            // The last write may have passed the limit of a piece by what one buffer of the request holds.
            for (var at = 0; at < _buffer.WrittenCount; at += FormLogs.PieceBytes) yield return _buffer.WrittenMemory[at..Math.Min(at + FormLogs.PieceBytes, _buffer.WrittenCount)];
            yield break;
        }

        _file.Position = 0;
        var piece = ArrayPool<byte>.Shared.Rent(FormLogs.PieceBytes);
        try
        {
            while (await _file.ReadAtLeastAsync(piece.AsMemory(0, FormLogs.PieceBytes), FormLogs.PieceBytes, throwOnEndOfStream: false, ct) is > 0 and var count) yield return piece.AsMemory(0, count);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(piece);
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (_file is not null) await _file.DisposeAsync();
    }

    private static ServiceDefaults.RefusedException NotBase64() => Problems.InvalidField("log", "'log' must be base64.");

    private static byte[] MakeSextets()
    {
        var table = new byte[256];
        Array.Fill(table, Wrong);
        for (var i = 0; i < 26; i++) (table['A' + i], table['a' + i]) = ((byte)i, (byte)(26 + i));
        for (var i = 0; i < 10; i++) table['0' + i] = (byte)(52 + i);
        table['+'] = 62;
        // A plus sign that a client did not escape has become a space by the rules of forms.
        table[' '] = 62;
        table['/'] = 63;
        table['='] = Padding;
        table['\r'] = table['\n'] = Ignored;
        return table;
    }
}
