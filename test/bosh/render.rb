# Renders the templates of one job as BOSH's agent does (bosh-template's EvaluationContext): properties that the job's
# spec does not name are not seen. Reads a JSON object from standard input: job (its folder), properties, links
# {name => {address, properties, instances}}, and spec; writes {destination => {text or error}}.
require 'erb'
require 'json'
require 'yaml'

class UnknownProperty < StandardError; end

# What follows an `if_p` or `if_link` that was skipped.
class Else
  def initialize(scope) = @scope = scope
  def else = yield
  def else_if_p(*names, &block) = @scope.if_p(*names, &block)
  def else_if_link(name, &block) = @scope.if_link(name, &block)
end

# What follows one that was not.
class NoElse
  def else; end
  def else_if_p(*) = self
  def else_if_link(*) = self
end

module Properties
  NOTHING = Object.new

  def look_up(name)
    name.split('.').inject(@properties) { |tree, key| tree.is_a?(Hash) ? tree[key] : nil }
  end

  def p(names, default = NOTHING)
    found = Array(names).map { |name| look_up(name) }.find { |value| !value.nil? }
    return found unless found.nil?
    return default unless default.equal?(NOTHING)

    raise UnknownProperty, "Can't find property '#{Array(names).join("', or '")}'"
  end

  def if_p(*names)
    values = names.map { |name| look_up(name) }
    return Else.new(self) if values.any?(&:nil?)

    yield(*values)
    NoElse.new
  end
end

class Link
  include Properties
  attr_reader :address, :instances

  def initialize(given)
    @address = given['address']
    @properties = given['properties'] || {}
    @instances = given['instances'] || [{ 'address' => @address }]
  end
end

class Scope
  include Properties
  attr_reader :spec

  def initialize(properties, links, spec)
    @properties = properties
    @links = links
    @spec = spec
  end

  def link(name) = @links.fetch(name) { raise UnknownProperty, "Can't find link '#{name}'" }

  def if_link(name)
    return Else.new(self) unless @links.key?(name)

    yield @links[name]
    NoElse.new
  end

  def render(file)
    # A binding of its own each time: local variables of one template are not another's.
    ERB.new(File.read(file), trim_mode: '-').tap { |template| template.filename = file }.result(instance_eval { binding })
  end
end

def declared_properties(spec, given)
  (spec['properties'] || {}).each_with_object({}) do |(name, definition), seen|
    *sections, last = name.split('.')
    value = name.split('.').inject(given) { |tree, key| tree.is_a?(Hash) ? tree[key] : nil }
    value = definition['default'] if value.nil?
    sections.inject(seen) { |tree, key| tree[key] ||= {} }[last] = value
  end
end

asked = JSON.parse($stdin.read)
spec = YAML.safe_load(File.read(File.join(asked['job'], 'spec')))
properties = declared_properties(spec, asked['properties'] || {})
links = (asked['links'] || {}).transform_values { |given| Link.new(given) }
templates = spec['templates'].merge('../monit' => 'monit')
rendered = templates.to_h do |source, destination|
  scope = Scope.new(Marshal.load(Marshal.dump(properties)), links, asked['spec'] || {})
  [destination, { text: scope.render(File.join(asked['job'], 'templates', source)) }]
rescue StandardError, ScriptError => e
  [destination, { error: "#{e.class}: #{e.message}" }]
end
$stdout.write(JSON.generate(rendered))
