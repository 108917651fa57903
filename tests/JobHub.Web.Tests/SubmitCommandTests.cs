using System.Diagnostics;
using System.Text.Json.Nodes;
using JobHub.Web.Components.Pages.Submit;

namespace JobHub.Web.Tests;

/// <summary>The command beside a form, given to a real shell: it is the call that the form makes and nothing else, whatever the fields hold.</summary>
public class SubmitCommandTests
{
    private const string Hub = "http://127.0.0.1:4750";

    private static readonly string[] Attacks =
    [
        "';touch owned;'", "'\";touch owned;\"'", "$(touch owned)", "`touch owned`", "\\';touch owned;#", "'\\'';touch owned;'", "\"\ntouch owned\n\"", "$JOBHUB_TOKEN", "'\"$JOBHUB_TOKEN\"'",
        "§§JOBHUB_TOKEN§§", "§§INPUT_PASSWORD§§", "'$GROUP'", "x' -H 'X-Evil: 1", "a b\t*?[!]{x,y}~", "&&touch owned||", "%27;touch owned;%27", "’‘`´", "=';touch owned;'=x", "5;touch owned",
    ];

    [Theory]
    [InlineData("mapreduce"), InlineData("command"), InlineData("analysis"), InlineData("farm")]
    public async Task Command_WhateverTheFieldsHold_IsTheFormsCallAndNothingElse(string family)
    {
        foreach (var attack in Attacks)
        {
            var form = SubmitForms.All().Single(f => f.Family == family);
            foreach (var field in form.Fields) form[field.Name] = attack;
            await AssertIsTheCallAsync(form, attack);
            if (family != "analysis") continue;
            form["analysis"] = "visualization";
            await AssertIsTheCallAsync(form, attack);
        }
    }

    private static async Task AssertIsTheCallAsync(SubmitForm form, string attack)
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-shell-").FullName;
        try
        {
            var command = string.Join('\n', form.Command(Hub).Select(static line => line.Text));
            Assert.Empty(await RunAsync(folder, command, form));
            Assert.Equal(["calls"], Directory.GetFileSystemEntries(folder).Select(Path.GetFileName));
            var calls = (await File.ReadAllTextAsync(Path.Combine(folder, "calls"))).Split('\u0001', StringSplitOptions.RemoveEmptyEntries).Select(static c => c.Split('\0')[..^1]).ToArray();
            Assert.Equal(form.Children is null ? 1 : 2, calls.Length);
            foreach (var call in calls)
            {
                Assert.Equal(["-sS", "-X", form.Method, Hub + form.Path(form), "-H", "Content-Type: application/json", "-H", "Authorization: Bearer the-token", "-d"], call[..^1]);
                Assert.DoesNotContain('\'', call[3]);
            }

            AssertSame(form.Body(form, static name => "of-" + SubmitForm.Variable(name)), calls[0][^1], attack);
            if (form.Children is null) return;
            var children = form.Children(form);
            foreach (var child in children) child!["parent"] = 7;
            AssertSame(children, calls[1][^1], attack);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void AssertSame(JsonNode expected, string sent, string attack) =>
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(expected.ToJsonString()), JsonNode.Parse(sent)), $"of {attack}: {sent}");

    /// <summary>Runs it with a curl that keeps what it is given; what the shell complained of.</summary>
    private static async Task<string[]> RunAsync(string folder, string command, SubmitForm form)
    {
        var start = new ProcessStartInfo("/bin/sh") { WorkingDirectory = folder, UseShellExecute = false, RedirectStandardInput = true, RedirectStandardError = true };
        start.Environment["JOBHUB_TOKEN"] = "the-token";
        foreach (var secret in form.Fields.Where(static f => f.Kind is FieldKind.Secret).Select(static f => SubmitForm.Variable(f.Name))) start.Environment[secret] = "of-" + secret;
        using var shell = Process.Start(start)!;
        await shell.StandardInput.WriteAsync($"curl() {{ printf '%s\\0' \"$@\" >> calls; printf '\\001' >> calls; printf 7; }}\n{command}\n");
        shell.StandardInput.Close();
        var complaints = await shell.StandardError.ReadToEndAsync();
        await shell.WaitForExitAsync();
        return complaints.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }
}
